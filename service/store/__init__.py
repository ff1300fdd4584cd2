"""What streams are kept in: a contract, and a store for each place."""
