"""Verify the proof of one decision: with verify_log.py beside it, the standard library, nothing of Tsavo's.

    python verify_proof.py PROOF KEY [HEADS] [PARQUET]

PROOF is what the console's page of the decision gives. KEY is the log's public key ("tsavo/NAME+ID+BASE64"), from where
you noted it. HEADS is a file of heads that were kept elsewhere (.jsonl): the proof's must be among them. PARQUET is the
file that the proof names (.parquet): it must be as the log says. Exit 0: all is shown; 1: it is not, and why.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def load_log_verifier() -> ModuleType:
    """The other file, which knows how heads are signed."""
    spec = importlib.util.spec_from_file_location("verify_log", Path(__file__).with_name("verify_log.py"))
    if spec is None or spec.loader is None:
        raise ValueError("verify_log.py", "has to lie beside this file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOG = load_log_verifier()


def root_of(node: bytes, number: int, size: int, path: list[bytes]) -> bytes:
    """The root of `size` entries that `path` leads to from the hash of entry `number` (RFC 9162, 2.1.3.1)."""
    if not 0 <= number < size or (size == 1) != (not path):
        raise ValueError("path", "not one through a log of this size")
    if size == 1:
        return node
    left = 1 << (size - 1).bit_length() - 1
    below, side = path[:-1], path[-1]
    if number < left:
        joined = root_of(node, number, left, below) + side
    else:
        joined = side + root_of(node, number - left, size - left, below)
    return bytes(LOG.sha(b"\1" + joined))


def check_entry(part: dict[str, Any], key: str) -> tuple[dict[str, Any], bytes]:
    """An entry that is proven, and the head, as a line, that it is proven under."""
    line = LOG.canonical(part["head"]) + b"\n"
    head = LOG.read_head(line, key, "the proof's head")
    node = LOG.sha(b"\0" + part["entry"].encode())
    if (
        root_of(node, part["number"], head["size"], [bytes.fromhex(step) for step in part["path"]]).hex()
        != head["root"]
    ):
        raise ValueError(f"entry {part['number']}", "not in the log that the key signed")
    entry: dict[str, Any] = json.loads(part["entry"])
    return entry, line


def check_proof(
    proof: dict[str, Any], key: str, heads: list[bytes] | None = None, content: bytes | None = None
) -> str:
    """What was shown; raise ValueError for the first thing that is not."""
    (shipped, first), (kept, second) = check_entry(proof["shipped"], key), check_entry(proof["kept"], key)
    records = [each for each in shipped["journals"] if each["id"] == proof["journal"]]
    if shipped.get("table") != proof["table"] or not any(
        each["first"] <= proof["record"] <= each["last"] for each in records
    ):
        raise ValueError(f"entry {shipped['number']}", "does not bring this record to this table")
    digests = [file["sha256"] for file in kept["files"] if file["path"] == proof["file"]]
    if not digests:
        raise ValueError(f"entry {kept['number']}", "says nothing of this file")
    for line in (first, second) if heads is not None else ():
        if line not in (heads or []):
            raise ValueError("the proof's head", "not among those that were kept elsewhere")
    if content is not None and LOG.sha(content).hex() != digests[0]:
        raise ValueError(proof["file"], "not the file that was logged")
    found = f"entries {shipped['number']} and {kept['number']} are in the signed log"
    return f"{found}; the row of {proof['decision_id']} is in {proof['file']}, whose SHA-256 is {digests[0]}"


if __name__ == "__main__":
    words = sys.argv[1:]
    if len(words) < 2 or any(not word.endswith((".jsonl", ".parquet")) for word in words[2:]):
        sys.exit(__doc__)
    try:
        told = json.loads(Path(words[0]).read_bytes())
        named = {Path(word).suffix: Path(word).read_bytes() for word in words[2:]}
        heads = named[".jsonl"].splitlines(keepends=True) if ".jsonl" in named else None
        # What 'tsavo verify-log --decision ID --json' prints has the proof in it.
        print("ok:", check_proof(told.get("proof", told), words[1], heads, named.get(".parquet")))  # noqa: T201
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print("BAD:", ": ".join(map(str, error.args)))  # noqa: T201
        sys.exit(1)
