"""A command that can be interrupted."""

import sys

INTERRUPTIBLE = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from codecbench.cli.main import main; sys.exit(main())",
]
"""``codecbench`` that heeds Ctrl-C also where the tests run in the background: there a shell has SIGINT ignored, and
processes inherit that."""
