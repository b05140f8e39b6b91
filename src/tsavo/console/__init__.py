"""The control plane's door: an API for programs and pages for people.

What comes in: HTTP on loopback. What goes out: JSON, pages, problem documents. Every route declares the right it
needs. It only translates: it must never touch a model file, score a request, decide what is allowed, or know
another door.
"""

from tsavo.console.application import create_console
from tsavo.console.parts import ConsoleParts, OutcomeJournal

__all__ = ["ConsoleParts", "OutcomeJournal", "create_console"]
