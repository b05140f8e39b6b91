"""``verify-log``, ``anchor``: whether anything was changed behind the log's back, and heads kept elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import print_json, print_pairs
from tsavo.cli.stopped import ask

if TYPE_CHECKING:
    from tsavo.vocabulary import DecisionProof, LogVerdict

__all__ = ["anchor", "verify_log"]


def verify_log(
    *,
    anchor: str = "",
    key: str = "",
    decision: str = "",
    script: Flag = False,
    proof_script: Flag = False,
    options: Common = Options(),
) -> int:
    """Hold every file of the lake and every row of the registry against the signed log. Works on a stopped home, too.

    Exit code 1 when something is not as the log says; the first bad place is named first.

    Parameters
    ----------
    anchor
        Signed heads that were kept elsewhere: a file, git:FOLDER, or the URL of an object store.
    key
        The log's public key as you noted it; without it the home's own is believed.
    decision
        Prove this one decision instead, and check the proof here.
    script
        Print the independent verifier, a Python file that needs nothing of Tsavo, and do nothing else.
    proof_script
        Print another such file, which checks the proof of one decision, with the first one beside it.
    """
    if script or proof_script:
        from tsavo import ledger

        name = "verify_log.py" if script else "verify_proof.py"
        print(Path(ledger.__file__).with_name(name).read_text(), end="")
        return 0
    if decision:
        proof = ask(options, lambda source: source.prove_decision(decision))
        return _tell_proof(proof, key or ask(options, lambda source: source.ledger().key), options)
    heads = []
    if anchor:
        from tsavo.ledger import open_anchor

        heads = open_anchor(anchor).heads()
    verdict = ask(options, lambda source: source.verify_log(key=key, heads=heads))
    if options.json:
        print_json(verdict)
    else:
        _tell_verdict(verdict)
    return 0 if verdict.ok else 1


def anchor(
    destination: str,
    /,
    *,
    options: Common = Options(),
) -> int:
    """Keep the log's newest signed head elsewhere. Works on a stopped home, too.

    Parameters
    ----------
    destination
        A file (a line is added), git:FOLDER (a commit), or the URL of an object store (a new object).
    """
    from tsavo.ledger import open_anchor

    view = ask(options, lambda source: source.ledger())
    added = open_anchor(destination).add(view.head)
    if options.json:
        print_json({"added": added, "key": view.key, "head": view.head})
    else:
        print(
            f"{'anchored' if added else 'was anchored before'}: {view.head.size} entries, root {view.head.root}"
        )
        print(f"key {view.key}")
    return 0


def _tell_verdict(verdict: LogVerdict) -> None:
    for bad in verdict.bad:
        print(f"BAD {bad.place}: {bad.what}")
    head = verdict.head
    print_pairs(
        [
            ("verdict", "as the log says" if verdict.ok else "NOT as the log says"),
            ("key", verdict.key),
            (
                "head",
                "none" if head is None else f"{head.size} entries, root {head.root}, signed {head.time}",
            ),
            ("not signed yet", f"{verdict.unsigned} entries"),
            (
                "compared",
                f"{verdict.files} files, {verdict.bytes} bytes, {verdict.rows} rows of the registry",
            ),
            ("heads from elsewhere", verdict.anchored),
            ("seconds", round(verdict.seconds, 2)),
        ]
    )
    for odd in verdict.unexpected:
        print(f"look at entry {odd.number}: {odd.what}")


def _tell_proof(proof: DecisionProof, key: str, options: Options) -> int:
    from tsavo.ledger import is_proven

    proven = all(is_proven(part, key) for part in (proof.shipped, proof.kept))
    if options.json:
        print_json({"proven": proven, "proof": proof})
    else:
        print_pairs(
            [
                ("verdict", "in the log" if proven else "NOT proven"),
                ("decision", proof.decision_id),
                (
                    "shipped by",
                    f"entry {proof.shipped.number}, from record {proof.record} of {proof.journal}",
                ),
                ("kept in", f"{proof.file}, whose SHA-256 is in entry {proof.kept.number}"),
                ("head", f"{proof.kept.head.size} entries, root {proof.kept.head.root}"),
            ]
        )
    return 0 if proven else 1
