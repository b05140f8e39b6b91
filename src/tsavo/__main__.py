"""``python -m tsavo`` is the command line."""

import sys

from tsavo.cli import main

sys.exit(main())
