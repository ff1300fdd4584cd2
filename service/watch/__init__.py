"""What the service says of itself to those who run it; it knows nothing of streams."""
