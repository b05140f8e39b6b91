"""A log that cannot be changed unnoticed: entries in a Merkle tree (RFC 9162), signed heads, and proofs.

What comes in: entries as JSON values, from the one process that writes them, and heads that were kept elsewhere. What
goes out: signed tree heads, proofs that an entry is in the log and that one head continues another, and a verdict
on a whole home. It must never change or drop an entry that was signed, believe what is not on disk, or mend what
it finds broken.
"""

from tsavo.ledger.anchors import Anchor, open_anchor, read_heads
from tsavo.ledger.heads import PublicKey, SigningKey
from tsavo.ledger.index import Index, KnownFile
from tsavo.ledger.ledger import Ledger
from tsavo.ledger.reading import LedgerFiles, LedgerReader, is_proven, read_head
from tsavo.ledger.standing import LedgerStanding, keep_standing, ledger_warnings, read_standing
from tsavo.ledger.verifying import verify_home

__all__ = [
    "Anchor",
    "Index",
    "KnownFile",
    "Ledger",
    "LedgerFiles",
    "LedgerReader",
    "LedgerStanding",
    "PublicKey",
    "SigningKey",
    "is_proven",
    "keep_standing",
    "ledger_warnings",
    "open_anchor",
    "read_head",
    "read_heads",
    "read_standing",
    "verify_home",
]
