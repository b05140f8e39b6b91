"""An erased person taken out of what versions keep of their training data.

A version keeps a sample of it, rows with the answers that it gave, and the values of text columns that it knows. What
it *is*, its digest, stays: that was fixed when it was registered.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tsavo.actions.control_plane import ControlPlane
from tsavo.governance import audit
from tsavo.registry import artifact_in_use, items_of, list_routes, list_versions, replace_kept
from tsavo.storage import Connection
from tsavo.vocabulary import Field, Golden, NotFound, Page, Privacy, Reference, Signature, Version

__all__ = ["Redacted", "redact_training_data", "subject_versions"]

_PAGE: Final = 500


class Redacted(NamedTuple):
    """Rows that left samples, and digests of the artifacts that held them and are gone."""

    rows: int
    artifacts: tuple[str, ...]
    changed: bool


def subject_versions(plane: ControlPlane) -> Iterator[tuple[Version, Privacy]]:
    """Every version of the models of endpoints with a column of subjects, and what of them is personal."""
    seen: dict[str, Privacy] = {}
    with plane.database.read() as connection:
        for route in items_of(lambda offset: list_routes(connection, offset=offset, limit=_PAGE)):
            if route.privacy is not None and route.privacy.subject is not None:
                seen |= {ref.model: route.privacy for ref in route.versions()}
        for model, privacy in sorted(seen.items()):
            for version in items_of(partial(_versions, connection, model)):
                if any(field.name == privacy.subject for field in version.signature.inputs):
                    yield version, privacy


def _versions(connection: Connection, model: str, offset: int) -> Page[Version]:
    return list_versions(connection, model, offset=offset, limit=_PAGE)


def redact_training_data(
    plane: ControlPlane, pseudonym: str, pseudonym_of: Callable[[Any], str | None]
) -> Redacted:
    """Take the rows of a subject out of every sample of training data, and their name out of the known values."""
    total, changed = 0, False
    gone: list[str] = []

    def theirs(value: Any) -> bool:
        return pseudonym_of(value) == pseudonym

    for version, privacy in list(subject_versions(plane)):
        reference, left, rows = _without_rows(plane, version.reference, privacy, theirs)
        golden, _, more = _without_rows(plane, version.golden, privacy, theirs)
        signature = _without_values(version.signature, privacy, left, theirs)
        after = msgspec.structs.replace(version, signature=signature, reference=reference, golden=golden)
        if after == version:
            continue
        changed = True
        total += rows + more
        with plane.database.begin() as connection:
            replace_kept(connection, after)
            audit(
                connection,
                time=plane.clock.now(),
                who="keeper",
                action="version.redact",
                subject=f"version:{version.ref}",
                why=f"the subject {pseudonym} was erased",
                before={"reference": version.reference, "golden": version.golden},
                after={"reference": reference, "golden": golden},
            )
        for before, now in ((version.reference, reference), (version.golden, golden)):
            if before is not None and (now is None or now.digest != before.digest):
                gone.append(before.digest)
    dropped = []
    for digest in dict.fromkeys(gone):
        with plane.database.read() as connection:
            needed = artifact_in_use(connection, digest)
        if not needed:
            plane.artifacts.remove(digest)
            dropped.append(digest)
    return Redacted(total, tuple(dropped), changed)


class _Left(NamedTuple):
    """Of one column: values that only the rows of the subject had, and the bounds of what the others have."""

    gone: frozenset[Any]
    low: Any
    high: Any


def _without_values(
    signature: Signature, privacy: Privacy, left: Mapping[str, _Left], theirs: Callable[[Any], bool]
) -> Signature:
    """The signature without what it says of the subject: known values, and bounds that were theirs."""

    def known(field: Field) -> Field:
        if field.name not in privacy.columns:
            return field
        here = left.get(field.name, _Left(frozenset(), None, None))
        categories = field.categories
        if categories is not None:
            categories = tuple(
                value
                for value in categories
                if value not in here.gone and not (field.name == privacy.subject and theirs(value))
            )
        low = here.low if field.low in here.gone else field.low
        high = here.high if field.high in here.gone else field.high
        return msgspec.structs.replace(field, categories=categories, low=low, high=high)

    return msgspec.structs.replace(signature, inputs=tuple(map(known, signature.inputs)))


def _without_rows(
    plane: ControlPlane, sample: Any, privacy: Privacy, theirs: Callable[[Any], bool]
) -> tuple[Any, dict[str, _Left], int]:
    """A sample without the rows of a subject (``None`` when none are left), and how many those were.

    Between the two: what became of the values of personal columns.
    """
    if not isinstance(sample, Reference | Golden):
        return sample, {}, 0
    try:
        table = pq.read_table(io.BytesIO(plane.artifacts.get(sample.digest)))
    except NotFound:
        return sample, {}, 0  # what is not there names nobody
    if privacy.subject not in table.column_names:
        return sample, {}, 0
    values = table.column(privacy.subject)
    known = pc.unique(values)
    same = pa.array([value for value in known.to_pylist() if theirs(value)], known.type)
    if not len(same):
        return sample, {}, 0
    named = np.array(pc.is_in(values, same).to_pylist(), bool)
    kept, left = table.filter(pa.array(~named)), table.filter(pa.array(named))
    lost = {
        name: _left(left.column(name), kept.column(name))
        for name in privacy.columns.intersection(table.column_names)
    }
    if not kept.num_rows:
        return None, lost, left.num_rows
    written = io.BytesIO()
    pq.write_table(kept, written, compression="zstd")
    digest = plane.artifacts.put(written.getvalue())
    return msgspec.structs.replace(sample, digest=digest, rows=kept.num_rows), lost, left.num_rows


def _left(theirs: pa.ChunkedArray, others: pa.ChunkedArray) -> _Left:
    gone = frozenset(theirs.to_pylist()) - frozenset(others.to_pylist()) - {None}
    if not pa.types.is_floating(others.type) and not pa.types.is_integer(others.type):
        return _Left(gone, None, None)
    numbers = others.filter(pc.is_finite(others)) if pa.types.is_floating(others.type) else others
    bounds = pc.min_max(numbers).as_py()
    return _Left(gone, bounds["min"], bounds["max"])
