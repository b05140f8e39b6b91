"""The Python client: the same nouns as the command line, over HTTP.

What comes in: tables and models of the caller's process. What goes out: typed answers of a running Tsavo, or its
errors as they were raised there. It must never import another room than the vocabulary, so that it can be used
wherever a notebook runs.
"""

from tsavo.client.bulk import BulkResult
from tsavo.client.client import Client, Registered, connect
from tsavo.client.endpoint import Endpoint
from tsavo.client.family import Family, MembersChanged
from tsavo.client.family_scores import FamilyScores
from tsavo.client.files import Exported
from tsavo.client.locating import NotRunning
from tsavo.client.scoring import Scores
from tsavo.client.tables import as_table, read_table, write_table
from tsavo.client.transport import NotFollowing
from tsavo.vocabulary import OutcomesRecorded

__all__ = [
    "BulkResult",
    "Client",
    "Endpoint",
    "Exported",
    "Family",
    "FamilyScores",
    "MembersChanged",
    "NotFollowing",
    "NotRunning",
    "OutcomesRecorded",
    "Registered",
    "Scores",
    "as_table",
    "connect",
    "read_table",
    "write_table",
]
