"""Backups of a home, and homes made of them.

What comes in: a home, running or stopped, and a folder. What goes out: files by the digest of their content and, as
the last thing of all, a list of them that makes them a backup; or a new home with what a list says. It must never
change the home that it copies, but for noting where its backups are, write into a home that is not empty, or believe a
list or a file that is not whole.
"""

from tsavo.app.backups.backing_up import BackedUp, back_up
from tsavo.app.backups.erasing import erase_in_backups, known_folders
from tsavo.app.backups.restoring import Restored, restore

__all__ = ["BackedUp", "Restored", "back_up", "erase_in_backups", "known_folders", "restore"]
