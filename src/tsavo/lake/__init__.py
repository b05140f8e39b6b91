"""What was decided and what came of it, kept in open tables and answerable at any time.

What comes in: journal records, shipped to Delta tables exactly once, and the monitors' points. What goes out:
increments for the monitors, answers to SQL, single decisions, pages and charts for people; readers see what is
not shipped yet, too. It must never change or lose what a journal recorded, judge it, or let a query reach anything
but the lake's own rows.
"""

from tsavo.lake.answering import check_statement
from tsavo.lake.answers import Answer
from tsavo.lake.asking import Allowance
from tsavo.lake.commits import CommitLog
from tsavo.lake.files import FORMATS, format_named, json_bytes, write_answer
from tsavo.lake.increments import Position
from tsavo.lake.lake import Lake
from tsavo.lake.looking import Activity
from tsavo.lake.matching import Before, Labels, Sought
from tsavo.lake.recorded import Recorded
from tsavo.lake.shipping import Shipped
from tsavo.lake.tail import SignatureOf
from tsavo.lake.texts import python_columns
from tsavo.lake.waiting import Patience

__all__ = [
    "FORMATS",
    "Activity",
    "Allowance",
    "Answer",
    "Before",
    "CommitLog",
    "Labels",
    "Lake",
    "Patience",
    "Position",
    "Recorded",
    "Shipped",
    "SignatureOf",
    "Sought",
    "check_statement",
    "format_named",
    "json_bytes",
    "python_columns",
    "write_answer",
]
