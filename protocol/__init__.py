"""What is said on the wire, sans-I/O: bytes in, events out; no socket, task, clock or await."""
