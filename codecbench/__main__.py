"""``python -m codecbench``."""

import sys

from codecbench.cli.main import main

sys.exit(main())
