"""One task to rows, and one block of time."""
