"""A log as readers see it, while its writer runs or after it stopped: heads, entries and proofs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tsavo.ledger.heads import PublicKey
from tsavo.ledger.segments import Segments
from tsavo.ledger.tree import TreeFile, consistency_proof, inclusion_proof, is_included, leaf_hash, root_hash
from tsavo.vocabulary import Consistency, Damaged, Inclusion, Invalid, NotFound, TreeHead

__all__ = ["LedgerFiles", "LedgerReader", "is_proven", "read_head"]


class LedgerFiles:
    """Where the parts of a log lie in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key.pem"
        self.public = folder / "key.pub"
        self.head = folder / "head.json"
        self.tree = folder / "tree"
        self.segments = folder / "segments"


def read_head(path: Path) -> TreeHead | None:
    """The newest signed head, ``None`` when nothing was signed; raise `Damaged` when it cannot be read."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(content, type=TreeHead)
    except msgspec.MsgspecError as error:
        raise Damaged(
            "the log's head cannot be read",
            field=str(path),
            found=str(error),
            next_step="run 'tsavo verify-log', and restore the file from a backup or an anchor",
        ) from error


def is_proven(proof: Inclusion, key: str) -> bool:
    """Whether an entry is in the log whose public key is `key`: the path holds, and the key signed the head."""
    leaf, path = leaf_hash(proof.entry.encode()), [bytes.fromhex(step) for step in proof.path]
    root = bytes.fromhex(proof.head.root)
    return PublicKey.parse(key).signed(proof.head) and is_included(
        leaf, proof.number, proof.head.size, path, root
    )


class LedgerReader:
    """Questions to the log in a folder; everything is proven against its newest signed head.

    Parameters
    ----------
    folder
        The log's folder; raise `NotFound` from every question when nothing was signed in it.
    """

    def __init__(self, folder: Path) -> None:
        self.files = LedgerFiles(folder)
        self._segments = Segments(self.files.segments)

    def head(self) -> TreeHead:
        """The newest signed head."""
        head = read_head(self.files.head)
        if head is None:
            raise NotFound(
                "nothing was signed in this home's log yet",
                field="ledger",
                found=str(self.files.folder),
                next_step="the keeper signs at an interval (ledger.sign_seconds) and when it stops",
            )
        return head

    def public_key(self) -> PublicKey:
        """The key that the log says is its own."""
        self.head()
        return PublicKey.parse(self.files.public.read_text())

    def check(self) -> TreeHead | None:
        """The newest head, ``None`` before the first: the log's key signed it, and entries and tree fit it.

        Entries themselves are not read: that is a verification.

        Raises
        ------
        Damaged
            One of this is not so.
        """
        head = read_head(self.files.head)
        if head is None:
            return None
        try:
            key = PublicKey.parse(self.files.public.read_text())
        except (OSError, UnicodeDecodeError, Invalid) as error:
            raise _broken(self.files.public, str(error), "the log's public key") from error
        if not key.signed(head):
            raise _broken(self.files.head, "another signature", f"one of {key.origin}")
        if not self.files.key.exists():
            raise _broken(self.files.key, "nothing", "the log's signing key")
        if (entries := self.entries()) < head.size:
            raise _broken(self.files.segments, f"{entries} entries", f"the {head.size} that were signed")
        if (wrong := self.contradiction(head)) is not None:
            raise _broken(self.files.tree, wrong, "the root that was signed")
        return head

    def contradiction(self, head: TreeHead) -> str | None:
        """In what a head of this log says otherwise than the tree of its hashes; ``None`` when it does not."""
        try:
            tree = TreeFile(self.files.tree)
        except OSError as error:
            return f"the log has no tree ({error.strerror})"
        try:
            if not tree.holds(head.size):
                return f"the log has fewer than {head.size} entries"
            found = root_hash(tree.read, head.size).hex()
        finally:
            tree.close()
        return None if found == head.root else f"its first {head.size} entries have the root {found}"

    def line(self, number: int) -> bytes | None:
        """Entry `number` as it is hashed, signed or not; ``None`` when there is no such entry."""
        return self._segments.read(number)

    def entries(self) -> int:
        """How many entries there are, signed or not."""
        return self._segments.count()

    def inclusion(self, number: int) -> Inclusion:
        """Entry `number` with its proof; raise `NotFound` when it is not in the signed part of the log."""
        head = self.head()
        line = self._segments.read(number) if 0 <= number < head.size else None
        if line is None:
            raise NotFound(
                "there is no such entry in the signed log",
                field="number",
                found=number,
                expected=f"0 to {head.size - 1}",
            )
        tree = TreeFile(self.files.tree)
        try:
            path = inclusion_proof(tree.read, number, head.size)
        finally:
            tree.close()
        return Inclusion(number, line.decode(), leaf_hash(line).hex(), [step.hex() for step in path], head)

    def consistency(self, first: int, second: int | None = None) -> Consistency:
        """The proof that the log of `second` entries (by default the signed head's) begins with its first `first`."""
        head = self.head()
        second = head.size if second is None else second
        if not 0 <= first <= second <= head.size:
            raise Invalid(
                "not two sizes of this log",
                field="first",
                found=[first, second],
                expected=f"0 <= first <= second <= {head.size}",
            )
        tree = TreeFile(self.files.tree)
        try:
            path = [step.hex() for step in consistency_proof(tree.read, first, second)]
            before, after = (root_hash(tree.read, size).hex() for size in (first, second))
        finally:
            tree.close()
        return Consistency(first, second, before, after, path)


def _broken(path: Path, found: str, expected: str) -> Damaged:
    return Damaged(
        "the log is not what was signed",
        field=str(path),
        found=found,
        expected=expected,
        next_step="run 'tsavo verify-log' for the place; docs/audit.md says how to go on",
    )
