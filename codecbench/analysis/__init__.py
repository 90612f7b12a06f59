"""Rows to tables and statements; draws and prints nothing."""
