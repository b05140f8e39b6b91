"""Verify a Tsavo home against its log: one file, the standard library, nothing of Tsavo's.

    python verify_log.py HOME KEY [ANCHOR] [--tail] [--no-registry]

KEY is the log's public key ("tsavo/NAME+ID+BASE64"), from where you noted it, not from the home. ANCHOR is a file of
heads that were kept elsewhere, one a line. Checked: every entry against the signed Merkle roots (RFC 9162, RFC 8032),
every file of the lake and every row of the registry (SQLite) against the entries. Exit 0: all is as the log says; 1: it
is not, and the first bad place is named. --tail believes entries that are not signed yet, as one must while it runs.
"""

import base64
import hashlib
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SEGMENT = 4096  # entries in a file of the log
PARTS = {"key.pem", "key.pub", "head.json", "tree", "segments"}
Point = tuple[int, int, int, int]  # X, Y, Z, T of Ed25519 (RFC 8032, 5.1.4): x = X/Z, y = Y/Z, x y = T/Z


def sha(data: bytes) -> bytes:  # noqa: D103
    return hashlib.sha256(data).digest()


def canonical(value: Any) -> bytes:  # noqa: D103
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def add(p: Point, q: Point) -> Point:
    """The sum of two points."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(factor: int, p: Point) -> Point:
    """A point, so many times."""
    rest = p if factor & 1 else (0, 1, 1, 0)
    return add(times(factor >> 1, add(p, p)), rest) if factor else rest


def point(data: bytes) -> Point:
    """The point in 32 bytes; raise ValueError when there is none."""
    y, sign = int.from_bytes(data, "little") & (1 << 255) - 1, data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        raise ValueError("not a point of the curve")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` of `message` is that of the key in 32 bytes."""
    a, base = point(public), point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    s = int.from_bytes(signature[32:], "little")
    x, y, z, _ = add(times(s, base), times(k, (P - a[0], a[1], 1, P - a[3])))
    x, y = x * pow(z, P - 2, P) % P, y * pow(z, P - 2, P) % P
    return len(signature) == 64 and s < L and (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


def read_head(line: bytes, key: str, where: str) -> dict[str, Any]:
    """A head whose form and signature are right."""
    try:
        head: dict[str, Any] = json.loads(line)
        root = base64.b64encode(bytes.fromhex(head["root"])).decode()
        text = f"{head['origin']}\n{head['size']}\n{root}\n{head['time']}\n".encode()
        public, signature = base64.b64decode(key.split("+", 2)[2])[1:], bytes.fromhex(head["signature"])
        form = canonical(head | {"signature": signature.hex()}) + b"\n"  # to the letter, case included
        if form == line and key.startswith(head["origin"] + "+") and is_signed(public, text, signature):
            return head
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(where, "not a head that the key signed")


def check_tree(lines: list[bytes], tree: bytes, signed: dict[int, str]) -> None:
    """See that the entries, and the hashes that are kept, lead to every signed root: size -> root."""
    peaks: list[tuple[int, bytes]] = []
    at, odd, agreed = 0, "", 0
    for number, line in enumerate(lines):
        level, stored = 0, sha(b"\0" + line)
        node = stored
        while peaks and peaks[-1][0] == level:
            level, node = level + 1, sha(b"\1" + peaks.pop()[1] + node)
            stored += node
        peaks.append((level, node))
        if not odd and tree[at : at + len(stored)] != stored:
            odd = f"ledger/segments, entry {number}"
        at += len(stored)
        if number + 1 in signed:
            root = peaks[-1][1]
            for _, left in peaks[-2::-1]:
                root = sha(b"\1" + left + root)
            if root.hex() != signed[number + 1]:
                place = odd or f"ledger/segments, entries {agreed} to {number}"
                raise ValueError(place, "not what was signed")
            agreed = number + 1
    if max(signed) > len(lines):
        raise ValueError(f"ledger/segments, entry {len(lines)}", f"missing; {max(signed)} were signed")
    if odd or len(tree) != at:
        raise ValueError("ledger/tree", f"not the hashes of the entries, from {odd or 'the end'} on")


def read_log(home: Path, key: str, anchors: list[bytes], tail: bool) -> list[dict[str, Any]]:
    """The entries, every one of which is vouched for."""
    folder = home / "ledger"
    for name in sorted({path.name for path in folder.iterdir()} - PARTS):
        raise ValueError(f"ledger/{name}", "no part of a log")
    if (folder / "key.pub").read_bytes() != key.encode() + b"\n":
        raise ValueError("ledger/key.pub", "not the key that was given")
    newest = read_head((folder / "head.json").read_bytes(), key, "ledger/head.json")
    signed, last = {newest["size"]: newest["root"]}, newest["size"]
    for number, line in enumerate(anchors, 1):
        head = read_head(line, key, f"the anchor, line {number}")
        if head["size"] > last or signed.setdefault(head["size"], head["root"]) != head["root"]:
            raise ValueError("ledger/head.json", f"{last} entries; the anchor, line {number}, says otherwise")
    lines: list[bytes] = []
    for path in sorted((folder / "segments").iterdir()):
        *new, rest = path.read_bytes().split(b"\n")
        if rest or path.name != f"{len(lines):012}.jsonl" or len(lines) % SEGMENT or len(new) > SEGMENT:
            place = f"ledger/segments, entry {len(lines) + (len(new) if rest else 0)}"
            raise ValueError(place, f"{path.name} does not go on from there, or ends in the middle of it")
        lines += new
    check_tree(lines, (folder / "tree").read_bytes(), signed)
    if len(lines) > last and not tail:
        raise ValueError(f"ledger/segments, entry {last}", "nobody signed it")
    return [json.loads(line) for line in lines]


def fold(entries: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """What the log says is there: "" -> path -> SHA-256, and table -> key -> SHA-256 of the row."""
    told: dict[str, dict[str, str]] = {"": {}, "audit": {}}
    for entry in entries:
        told[""].update((file["path"], file["sha256"]) for file in entry.get("files", ()))
        for path in entry.get("deleted", ()):
            told[""].pop(path, None)
        if entry["kind"] == "audit":
            told["audit"][f"[{entry['row']['id']}]"] = sha(canonical(entry["row"])).hex()
        for name, rows in entry.get("changed", {}).items():
            told.setdefault(name, {}).update(rows)
        for name, gone in entry.get("gone", {}).items():
            told[name] = {row: told[name][row] for row in told[name].keys() - set(gone)}
        told |= {name: {} for name in entry.get("tables", {}) if name not in told}
    return told


def read_table(database: sqlite3.Connection, name: str) -> dict[str, str]:
    """Key -> SHA-256 of the row, of a table."""
    columns = database.execute(f'PRAGMA table_info("{name}")').fetchall()
    keys = [column[1] for column in sorted(columns, key=lambda column: column[5]) if column[5]]
    kept = database.execute(f'SELECT * FROM "{name}"')  # noqa: S608
    rows = [dict(zip((column[1] for column in columns), row, strict=True)) for row in kept]
    return {canonical([row[key] for key in keys]).decode(): sha(canonical(row)).hex() for row in rows}


def verify(home: Path, key: str, anchors: list[bytes], tail: bool = False, sql: bool = True) -> str:
    """What was checked; raise ValueError for the first bad place."""
    entries = read_log(home, key, anchors, tail)
    paths = [path for path in (home / "lake").rglob("*") if path.is_file()]
    told = fold(entries)
    found = {"": {path.relative_to(home).as_posix(): sha(path.read_bytes()).hex() for path in paths}}
    if sql:
        where = f"file:{quote(str(home / 'registry.db'))}?mode=ro"
        with closing(sqlite3.connect(where, uri=True)) as database:
            found |= {name: read_table(database, name) for name in told if name}
    for name in sorted(found):
        for row in sorted(told[name].keys() | found[name].keys()):
            if told[name].get(row) != found[name].get(row):
                what = ("not in the log", "missing", "changed")[
                    (row in told[name]) * (1 + (row in found[name]))
                ]
                raise ValueError(f"registry.db, {name} {row}" if name else row, what)
    odd = [entry["number"] for entry in entries if entry.get("found") == "unexpected"]
    counts = ", ".join(f"{len(found[name])} {name or 'files'}" for name in found)
    return f"{len(entries)} entries, {counts}; entries about what somebody else did: {odd or 'none'}"


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if len(words) not in (2, 3):
        sys.exit(__doc__)
    try:
        heads = Path(words[2]).read_bytes().splitlines(keepends=True) if len(words) == 3 else []
        flags = ("--tail" in sys.argv, "--no-registry" not in sys.argv)
        print("ok:", verify(Path(words[0]), words[1], heads, *flags))  # noqa: T201
    except (OSError, ValueError, KeyError, TypeError, sqlite3.Error) as error:
        print("BAD:", ": ".join(map(str, error.args)))  # noqa: T201
        sys.exit(1)
