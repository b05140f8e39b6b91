"""Registers thousands of models: asks which are wanted, and sends those a few at a time.

Neither files nor results pile up here: a request holds a few files, which are read from the disk as they are sent, and
results are handed on as they come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any, Final, Literal, NamedTuple

import msgspec

from tsavo.client.manifests import Entry, entries
from tsavo.client.reference import reference_of
from tsavo.client.sources import Source, code_commit, hints_for, read_source
from tsavo.client.transport import Transport, rebuilt
from tsavo.vocabulary import Invalid, Task, TsavoError, Unavailable, Unreadable, VersionRef, check_name

__all__ = ["BulkRegistration", "BulkResult"]

_ROAD: Final = "/api/registrations"
_CHUNK: Final = 1 << 20
# Asked for by digest in one request, and the bytes of live objects among them.
_ASKED: Final = 250
_HELD_BYTES: Final = 64 << 20
# Files in one request, and their bytes; beyond that a request has fewer.
_SENT: Final = 16
_SENT_BYTES: Final = 64 << 20
# While one request's models are worked on, the next one's files are on their way.
_REQUESTS: Final = 2
_REFERENCES: Final = 16


class BulkResult(NamedTuple):
    """What became of one model.

    Attributes
    ----------
    row
        Its place in the list, from one.
    status
        ``registered``; ``known`` when the same files were registered before; ``failed`` when nothing was kept.
    endpoint, segment
        Where the version serves now.
    error
        Why it failed; beside a version, why that could not be deployed.
    """

    row: int
    name: str
    status: Literal["registered", "known", "failed"]
    version: VersionRef | None = None
    endpoint: str | None = None
    segment: str | None = None
    error: TsavoError | None = None


class _Told(msgspec.Struct):
    row: int
    model: str
    status: Literal["registered", "known", "wanted", "failed"]
    version: str | None = None
    endpoint: str | None = None
    segment: str | None = None
    error: dict[str, Any] | None = None

    def result(self) -> BulkResult:
        return BulkResult(
            self.row,
            self.model,
            # What was asked for with its file is not asked for again.
            "failed" if self.status == "wanted" else self.status,
            None if self.version is None else VersionRef.parse(self.version),
            self.endpoint,
            self.segment,
            None if self.error is None else rebuilt(self.error),
        )


class _File(NamedTuple):
    """A file to be sent, or its bytes when it never was one."""

    content: Path | bytes
    digest: str
    size: int


class _Item(NamedTuple):
    """One model with its files and what is said about it."""

    row: int
    source: _File
    reference: _File | None
    told: dict[str, Any]

    @property
    def size(self) -> int:
        return self.source.size + (0 if self.reference is None else self.reference.size)

    @property
    def held(self) -> int:
        """Bytes of it that are in memory."""
        return self.source.size if isinstance(self.source.content, bytes) else 0


class BulkRegistration:
    """The part of the client that registers thousands of models.

    Parameters
    ----------
    console
        The console's connection.
    """

    _console: Transport

    def register_many(
        self,
        models: Any,
        *,
        folder: Path | str | None = None,
        deploy: bool = False,
        family: str | None = None,
        reference: Any = None,
        target: str | None = None,
        trust: bool = False,
        task: Task | None = None,
        classes: Sequence[Any] | None = None,
        columns: Sequence[str] | None = None,
        units: Mapping[str, str] | None = None,
        requirements: Sequence[str] = (),
        python: str | None = None,
        runtime: Literal["auto", "onnx", "python"] = "auto",
    ) -> Iterator[BulkResult]:
        """Register many models, each as the next version of the model of its name.

        What is registered already, from the same files, is not sent again: a run that was cut short goes on where it
        was. A model that cannot be registered keeps no other out.

        Parameters
        ----------
        models
            The path of a manifest (CSV, Parquet or JSON lines); a folder of model files; a table of any make; or rows
            as they come. A row has a `source` (a path, or a live object) and a `name`, and may have a `reference`, a
            `target`, a `segment`, an `endpoint`, the model's `owner`, and `why`.
        folder
            Where paths start; by default beside the manifest, and in the working folder otherwise.
        deploy
            Make each version the champion of the row's `endpoint`, by default one of the model's name.
        family
            Let each version answer for the row's `segment` of this family, which exists.
        reference, target
            For rows without their own; see `Client.register`, as for all other parameters.

        Yields
        ------
        BulkResult
            One for each row, as they are done. Nothing is sent before the first is asked for.

        Raises
        ------
        NotFound, Unreadable, Invalid
            When it is no list of models.
        Unavailable
            When the console does not answer; run it again to go on.
        """
        if deploy and family is not None:
            raise Invalid(
                "versions are deployed to endpoints of their own, or to a family",
                field="family",
                found=family,
                expected="either deploy or family",
            )
        said = {
            "task": task,
            "classes": classes,
            "columns": columns,
            "units": units,
            "requirements": requirements,
            "python": python,
        }
        order = {
            "trusted": trust,
            "code_commit": code_commit(),
            "runtime": runtime,
            "deploy": deploy,
            "family": None if family is None else check_name(family, "family"),
        }
        listed = entries(models, None if folder is None else Path(folder))
        reading = _Reading(reference, target, trust=trust, placed=family is not None, said=said)
        return _Sending(self._console, order).results(reading.items(listed))


class _Reading:
    """Turns entries into items: digests of their files, and what is said about them."""

    def __init__(
        self, reference: Any, target: str | None, *, trust: bool, placed: bool, said: dict[str, Any]
    ) -> None:
        self._target = target
        self._trust, self._placed, self._said = trust, placed, said
        # Most rows have the same one.
        self._read = lru_cache(_REFERENCES)(_reference)
        # A table becomes a file once, and not for every row.
        named = reference is None or isinstance(reference, str | Path)
        self._common = reference if named else _reference(reference, target)

    def items(self, listed: Iterable[Entry | tuple[int, str, TsavoError]]) -> Iterator[_Item | BulkResult]:
        """Each as an item, or as the result that it has failed."""
        for entry in listed:
            if not isinstance(entry, Entry):
                row, name, error = entry
                yield BulkResult(row, name, "failed", error=error)
                continue
            try:
                yield self._item(entry)
            except TsavoError as error:
                yield BulkResult(entry.row, entry.name, "failed", error=error)

    def _item(self, entry: Entry) -> _Item:
        if entry.segment is not None and not self._placed:
            raise Invalid(
                "a segment is one of a family",
                field="segment",
                found=entry.segment,
                next_step="name the family with --family, or leave out the column",
            )
        given = read_source(entry.source, trust=self._trust)
        reference, target = self._referred(entry)
        told = {
            "row": entry.row,
            "model": entry.name,
            "source_name": given.name,
            "data_digest": None if reference is None else reference.digest,
            "target": target,
            "hints": hints_for(given, **self._said),
            "owner": entry.owner,
            "endpoint": entry.endpoint,
            "segment": entry.segment,
            "why": entry.why,
        }
        source = _file(given, "source")
        kept = {name: value for name, value in told.items() if value is not None}
        return _Item(entry.row, source, reference, {**kept, "source_digest": source.digest})

    def _referred(self, entry: Entry) -> tuple[_File | None, str | None]:
        """The row's reference data and its target."""
        chosen = self._common if entry.reference is None else entry.reference
        target = entry.target or self._target
        if chosen is None:
            return None, None
        if isinstance(chosen, str | Path):
            return self._read(Path(chosen), target)
        if chosen is self._common:
            return self._common[0], entry.target or self._common[1]
        return _reference(chosen, target)


def _reference(chosen: Any, target: str | None) -> tuple[_File, str | None]:
    given = reference_of(chosen, target)
    return _file(given.source, "reference"), given.target


def _file(source: Source, field: str) -> _File:
    if isinstance(source.content, bytes):
        return _File(source.content, hashlib.sha256(source.content).hexdigest(), len(source.content))
    digest, size = hashlib.sha256(), 0
    with _opened(source.content, field) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return _File(source.content, digest.hexdigest(), size)


def _opened(path: Path, field: str) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise Unreadable(
            f"the file cannot be read: {error.strerror}", field=field, found=str(path)
        ) from error


class _Sending:
    """Asks and sends, and hands on what is told."""

    def __init__(self, console: Transport, order: Mapping[str, Any]) -> None:
        self._console, self._order = console, order
        self._told: SimpleQueue[BulkResult | Exception | None] = SimpleQueue()
        self._over = Event()

    def results(self, items: Iterable[_Item | BulkResult]) -> Iterator[BulkResult]:
        """One for each, as they are done."""
        under_way = 0
        with ThreadPoolExecutor(_REQUESTS, "register-many") as senders:
            try:
                for ready, wanted in self._asked(items):
                    yield from ready
                    for chunk in _cut(wanted, _SENT, _SENT_BYTES, lambda item: item.size):
                        if under_way == _REQUESTS:
                            yield from self._until_one_is_over()
                            under_way -= 1
                        senders.submit(self._send, chunk)
                        under_way += 1
                for _ in range(under_way):
                    yield from self._until_one_is_over()
            finally:
                # Whoever asked may have gone in the middle.
                self._over.set()

    def _asked(self, items: Iterable[_Item | BulkResult]) -> Iterator[tuple[list[BulkResult], list[_Item]]]:
        """Results that there are already, and the items whose files are wanted."""
        for group in _cut(items, _ASKED, _HELD_BYTES, lambda item: getattr(item, "held", 0)):
            ready = [item for item in group if isinstance(item, BulkResult)]
            asked = [item for item in group if isinstance(item, _Item)]
            wanted = set()
            if asked:
                for told in self._lines({}, [item.told for item in asked]):
                    if told.status == "wanted":
                        wanted.add(told.row)
                    else:
                        ready.append(told.result())
            yield ready, [item for item in asked if item.row in wanted]

    def _send(self, items: Sequence[_Item]) -> None:
        """In a thread of its own: one request, whose end is told by ``None``."""
        try:
            with ExitStack() as opened:
                files: dict[str, Any] = {}
                told = [self._with_parts(item, files, opened) for item in items]
                left = {item.row for item in items}
                for line in self._lines(files, told):
                    left.discard(line.row)
                    self._told.put(line.result())
                    if self._over.is_set():
                        return
            if left:
                raise Unavailable(
                    "the console ended its answer early",
                    field="url",
                    found=f"{len(left)} of {len(items)} models without a result",
                    next_step="run it again: what is registered is not sent again",
                )
            self._told.put(None)
        except Exception as error:
            self._told.put(error)

    def _with_parts(self, item: _Item, files: dict[str, Any], opened: ExitStack) -> dict[str, Any]:
        told = {**item.told, "source": f"source-{item.row}"}
        files[told["source"]] = _part(item.source, opened)
        if item.reference is not None:
            told["reference"] = item.reference.digest
            if item.reference.digest not in files:
                files[item.reference.digest] = _part(item.reference, opened)
        return told

    def _lines(self, files: dict[str, Any], items: list[dict[str, Any]]) -> Iterator[_Told]:
        order = msgspec.json.encode({**self._order, "items": items}).decode()
        return self._console.upload_lines(_ROAD, files, {"order": order}, _Told)

    def _until_one_is_over(self) -> Iterator[BulkResult]:
        while (told := self._told.get()) is not None:
            if isinstance(told, Exception):
                raise told
            yield told


def _part(file: _File, opened: ExitStack) -> tuple[str, Any, str]:
    content = file.content
    if isinstance(content, Path):
        return "file", opened.enter_context(_opened(content, "source")), "application/octet-stream"
    return "file", content, "application/octet-stream"


def _cut(items: Iterable[Any], most: int, most_bytes: int, size: Callable[[Any], int]) -> Iterator[list[Any]]:
    """Groups of at most `most` items and about `most_bytes`; no group is empty."""
    group: list[Any] = []
    taken = 0
    for item in items:
        if group and (len(group) == most or taken + size(item) > most_bytes):
            yield group
            group, taken = [], 0
        group.append(item)
        taken += size(item)
    if group:
        yield group
