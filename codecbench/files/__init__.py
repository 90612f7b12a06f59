"""Image files, and single compressed images as files."""
