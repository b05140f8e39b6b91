"""The durable log of a serving node: what is in it was recorded, and what is not was never answered.

What comes in: encoded records, as bytes whose meaning is not known here, one file a writer, and replies to keep
beside them for a while. What goes out: a future that is done when the bytes are on disk; and, to other processes,
records in order under numbers that never repeat, and replies by their keys. It must never report as recorded what a
power cut could take away, read a record's content, or import the rooms that do.
"""

from tsavo.journal.damage import DamageReport, damage_reports, mend
from tsavo.journal.files import journals
from tsavo.journal.places import Bounds, Standing, WhenFull
from tsavo.journal.reader import Entries, Journal, JournalSize, RecordedGap
from tsavo.journal.replies import KeptReplies, KeptReply
from tsavo.journal.reservations import Reservations
from tsavo.journal.scrubbing import scrub
from tsavo.journal.writer import JournalWriter

__all__ = [
    "Bounds",
    "DamageReport",
    "Entries",
    "Journal",
    "JournalSize",
    "JournalWriter",
    "KeptReplies",
    "KeptReply",
    "RecordedGap",
    "Reservations",
    "Standing",
    "WhenFull",
    "damage_reports",
    "journals",
    "mend",
    "scrub",
]
