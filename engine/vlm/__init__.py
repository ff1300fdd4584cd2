"""What a vision-language model is asked, and what it says: no sockets here."""
