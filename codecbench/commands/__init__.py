"""The subcommands of ``codecbench``, one module each: parse, call one library function, print."""
