"""What a schema may be, and what a text is worth under it: early, at the end, in words."""
