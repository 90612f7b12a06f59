"""Specs to tasks: what a run is going to measure. Measures nothing."""
