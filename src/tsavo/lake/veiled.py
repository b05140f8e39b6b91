"""What readers see of rows whose personal values are sealed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tsavo.lake.tail import SignatureOf
from tsavo.privacy import sealed_columns
from tsavo.vocabulary import Unavailable

__all__ = ["no_keys", "no_owner", "told"]


def told(row: dict[str, Any], signature_of: SignatureOf) -> dict[str, Any]:
    """A decision without its sealed values, which features these are in ``personal``; its shadows likewise."""
    seen = {key: value for key, value in row.items() if key != "sealed"}
    sealed = row.get("sealed")
    seen["personal"] = []
    if sealed is not None:
        names = [field.name for field in signature_of(row["model"], row["version"]).inputs]
        seen["personal"] = [names[place] for place in sealed_columns(sealed) if place < len(names)]
    if "shadows" in row:
        seen["shadows"] = [told(shadow, signature_of) for shadow in row["shadows"]]
    return seen


def no_keys(rows: Sequence[tuple[bytes, str]]) -> list[dict[int, Any] | None]:
    """Opens nothing, in a process that was given no keys."""
    raise Unavailable(
        "this process has no keys to open personal values with",
        field="privacy",
        found=f"{len(rows)} sealed rows",
        next_step="ask the running console, or the home itself",
    )


def no_owner(pairs: Iterable[tuple[bytes, str]]) -> None:
    """Notes nothing, in a process that was given no keys to note it with; the keeper has them."""
    for _, pseudonym in pairs:
        raise Unavailable(
            "this process cannot note whose a key is", field="privacy", found=pseudonym, next_step=None
        )
