"""The command line: words in, calls on the client or the app, words out.

What comes in: a person's words. What goes out: plain text or, with ``--json``, one JSON document; exit code 0 when it
was done, 1 when it was refused or failed (one line says why, and what next), 2 for wrong usage. It must never show a
stack trace, nor know how anything is done.
"""

from tsavo.cli.application import main

__all__ = ["main"]
