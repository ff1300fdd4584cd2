"""Who may do what: keys, tickets, and what both are checked against."""
