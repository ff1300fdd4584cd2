"""JSON as it grows: the push parser, its bounds, and where it stands in an answer."""
