"""The run folder, and every file in it."""
