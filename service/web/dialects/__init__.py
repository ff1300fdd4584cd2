"""Front ends of other protocols: each a folder that translates streams and has no text, clock or ending of its own."""
