"""The command line: one subcommand a module. The only package that prints."""

from codecbench.cli.main import main

__all__ = ["main"]
