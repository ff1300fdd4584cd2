"""Projections of a growing text that readers can ask for."""
