"""``python -m tsavo`` is the command line."""

import sys

from tsavo.cli import main

if __name__ == "__main__":
    sys.exit(main())
