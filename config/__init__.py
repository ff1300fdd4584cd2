"""Settings: read by the composition root and the command line alone."""
