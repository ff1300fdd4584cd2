"""Captions out of a growing text, and the files that hold them."""
