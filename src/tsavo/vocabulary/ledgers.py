"""What a home's log says to others: signed heads, proofs, verdicts."""

from __future__ import annotations

import base64

import msgspec

__all__ = [
    "BadPlace",
    "Consistency",
    "DecisionProof",
    "Inclusion",
    "LedgerView",
    "LogVerdict",
    "TreeHead",
    "Unexpected",
]


class TreeHead(msgspec.Struct, frozen=True):
    """A signed statement about a log: how many entries it has, and their Merkle root.

    Attributes
    ----------
    origin
        The log's name.
    size
        Entries that it speaks of.
    root
        Their Merkle root (RFC 9162), 64 hexadecimal digits.
    time
        When it was signed, ISO 8601 in UTC.
    signature
        Ed25519, 128 hexadecimal digits; empty before it is signed.
    """

    origin: str
    size: int
    root: str
    time: str
    signature: str = ""

    def text(self) -> str:
        """What is signed: a checkpoint as C2SP describes it (tlog-checkpoint), the time as an extension line."""
        root = base64.b64encode(bytes.fromhex(self.root)).decode()
        return f"{self.origin}\n{self.size}\n{root}\n{self.time}\n"

    def line(self) -> bytes:
        """The head as one line of canonical JSON, as anchors keep it."""
        return msgspec.json.encode(self, order="sorted") + b"\n"


class Inclusion(msgspec.Struct, frozen=True):
    """An entry, and the proof that it is in the log (RFC 9162, 2.1.3).

    Attributes
    ----------
    number
        Its place in the log, from 0.
    entry
        The line as it is hashed.
    leaf
        SHA-256(0x00 || entry), in hexadecimal, like the rest.
    path
        The hashes that lead from the leaf to the head's root, lowest first.
    head
        The signed head that it was proven against.
    """

    number: int
    entry: str
    leaf: str
    path: list[str]
    head: TreeHead


class Consistency(msgspec.Struct, frozen=True):
    """The proof that a log of `second` entries begins with its first `first` ones (RFC 9162, 2.1.4)."""

    first: int
    second: int
    first_root: str
    second_root: str
    path: list[str]


class DecisionProof(msgspec.Struct, frozen=True):
    """Where a decision stands in the log.

    Attributes
    ----------
    decision_id, table, journal, record
        Which decision, in which table of the lake, and the journal's record that it came from.
    shipped
        The entry of the commit that brought the record to the lake.
    file
        The file that has the decision's row now: the one it came with, or one that it was merged into.
    kept
        The entry that holds this file's SHA-256.
    """

    decision_id: str
    table: str
    journal: str
    record: int
    shipped: Inclusion
    file: str
    kept: Inclusion


class BadPlace(msgspec.Struct, frozen=True):
    """A place where a home is not what its log says."""

    place: str
    what: str


class Unexpected(msgspec.Struct, frozen=True):
    """An entry about something that the keeper found and had not done: no lie of the log, but worth a look."""

    number: int
    what: str


class LogVerdict(msgspec.Struct, frozen=True):
    """What a verification found.

    Attributes
    ----------
    ok
        Whether everything is as the log says.
    time, seconds
        When it began (UTC), and how long it took.
    key
        The public key that the heads were checked with.
    head
        The newest signed head; ``None`` when it cannot be read.
    entries, unsigned
        Entries in the log, and how many of them are behind the head.
    files, bytes, rows
        What was compared.
    anchored
        How many heads from elsewhere were compared.
    bad
        Where it is not as the log says, the first hundred places: in the log, then in the lake, then in the registry.
    unexpected
        Entries about what somebody else did.
    """

    ok: bool
    time: str
    seconds: float
    key: str
    head: TreeHead | None
    entries: int
    unsigned: int
    files: int
    bytes: int
    rows: int
    anchored: int
    bad: list[BadPlace]
    unexpected: list[Unexpected]


class LedgerView(msgspec.Struct, frozen=True):
    """A home's log at a glance.

    Attributes
    ----------
    key
        Its public key; note it elsewhere.
    head
        The newest signed head.
    note
        The same as a signed note, for witnesses and tools of transparency logs.
    entries
        Entries in the log, signed or not.
    verified
        What the last verification by this console found; ``None`` when there was none.
    """

    key: str
    head: TreeHead
    note: str
    entries: int
    verified: LogVerdict | None = None
