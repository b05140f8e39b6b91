"""Many registrations in one request, answered line by line as they are done.

A request is small: a caller with thousands of files sends a few at a time, over connections that are kept open, and
nothing here grows with how many there are in all. First it may ask with digests alone which files are wanted.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Response
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Stream

from tsavo.actions import Handed, Registration, deploy_once, find_registered, place_members, register
from tsavo.console.api.models import saved_part
from tsavo.console.crowding import REGISTRATIONS
from tsavo.console.declaring import act
from tsavo.console.parts import ConsoleParts
from tsavo.console.problems import problem_of
from tsavo.console.settling import wait_for_gateways
from tsavo.governance import Principal, Right
from tsavo.vocabulary import Hints, Invalid, TsavoError, VersionRef, check_name

__all__ = ["BULK_ROUTES"]

_LOG: Final = logging.getLogger("tsavo.console")
_NDJSON: Final = "application/x-ndjson"
_MOST_BYTES: Final = 1024**3
_MOST_ITEMS: Final = 500
_LONGEST_WHY: Final = 500

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Short = Annotated[str, msgspec.Meta(max_length=200)]


class ItemGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model file to be registered, and where its version goes.

    Attributes
    ----------
    row
        The caller's own number for it.
    source_digest, data_digest
        SHA-256 of the model file and of the reference data.
    source, reference
        Names of the file parts that hold them; several items may share a reference. An item without a source asks
        whether it is registered already.
    endpoint
        Where it is deployed, with `deploy`; by default an endpoint of the model's name.
    segment
        Which segment of the family it answers for, with `family`.
    """

    row: int
    model: str
    source_digest: Digest
    source: str | None = None
    source_name: str = "model"
    data_digest: Digest | None = None
    reference: str | None = None
    target: Short | None = None
    hints: Hints = msgspec.field(default_factory=Hints)
    owner: Short | None = None
    endpoint: str | None = None
    segment: str | None = None
    why: str = ""


class ManyGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes with the files: the items, and what holds for all of them.

    Attributes
    ----------
    deploy
        Make each version the champion of its endpoint.
    family
        The family whose members the versions become.
    """

    items: Annotated[tuple[ItemGiven, ...], msgspec.Meta(min_length=1, max_length=_MOST_ITEMS)]
    trusted: bool = False
    code_commit: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    runtime: Literal["auto", "onnx", "python"] = "auto"
    deploy: bool = False
    family: str | None = None


class ItemDone(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one item.

    Attributes
    ----------
    status
        ``registered``; ``known``: it was registered before; ``wanted``: it was not, and its file is needed;
        ``failed``: nothing was kept.
    endpoint, segment
        Where the version serves now.
    error
        Why it failed, or why the version that was kept could not be deployed: a problem document.
    """

    row: int
    model: str
    status: Literal["registered", "known", "wanted", "failed"]
    version: str | None = None
    endpoint: str | None = None
    segment: str | None = None
    error: dict[str, Any] | None = None


@act(
    "/api/registrations",
    Right.REGISTER,
    summary="Register many versions",
    request_max_body_size=_MOST_BYTES,
    media_type=_NDJSON,
)
async def register_many(
    parts: ConsoleParts,
    who: Principal,
    data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)],
) -> Response[Any]:
    """Check, compile and keep the files of `order` (JSON); answers one line of JSON for each as it is done."""
    order = _order(data.get("order"))
    lines = _Batch(parts, who, order, data).lines()
    # A caller that goes leaves the generator where it stands; what comes after an answer comes then, too.
    return Stream(lines, media_type=_NDJSON, background=BackgroundTask(lines.aclose))


# What removes the files of batches that are over: a task that nobody holds may vanish.
_LEAVING: Final[set[asyncio.Task[None]]] = set()


class _Batch:
    """The items of one request."""

    def __init__(self, parts: ConsoleParts, who: Principal, order: ManyGiven, data: dict[str, Any]) -> None:
        self._parts, self._who, self._order, self._data = parts, who, order, data
        self._reading = threading.Lock()
        # Versions that become members of the family together.
        self._members: list[tuple[ItemGiven, ItemDone]] = []
        self._running: set[asyncio.Task[ItemDone | None]] = set()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """What becomes of each item, in the order in which they are done."""
        folder = Path(tempfile.mkdtemp(dir=self._parts.plane.work, prefix="upload-"))
        try:
            async with aclosing(self._done(folder)) as answers:
                async for done in answers:
                    yield msgspec.json.encode(done, enc_hook=str) + b"\n"
        finally:
            # In a task of its own: who cancels us, because the caller has gone, lets us wait for nothing.
            leaving = asyncio.get_running_loop().create_task(self._leave(folder))
            _LEAVING.add(leaving)
            leaving.add_done_callback(_LEAVING.discard)

    async def _leave(self, folder: Path) -> None:
        """Remove the files, once what was begun, and needs them, is done."""
        if self._running:
            await asyncio.wait(self._running)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _done(self, folder: Path) -> AsyncGenerator[ItemDone, None]:
        answered, todo = await asyncio.to_thread(self._sorted, folder)
        for done in answered:
            yield done
        # No more at once than can be worked on, so that somebody with one file waits for no whole batch.
        while todo or self._running:
            while todo and len(self._running) < REGISTRATIONS.most:
                self._running.add(asyncio.create_task(self._one(todo.pop(0), folder)))
            ended, self._running = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                registered = task.result()
                if registered is not None:
                    yield registered
        for done in await asyncio.to_thread(self._placed):
            yield done
        if self._order.deploy or self._order.family is not None:
            # Once for all of them: who has read the last line meets their routes everywhere.
            await asyncio.to_thread(wait_for_gateways, self._parts)

    def _sorted(self, folder: Path) -> tuple[list[ItemDone], list[ItemGiven]]:
        """What can be answered at once, and the items that need work; shared reference data is written once."""
        answered: list[ItemDone] = []
        sound: list[ItemGiven] = []
        for item in self._order.items:
            refusal = self._refusal(item, sound)
            if refusal is None:
                sound.append(item)
            else:
                answered.append(_failed(item, refusal))
        todo = []
        handed = [_handed(item, self._order) for item in sound]
        for item, origin in zip(sound, find_registered(self._parts.plane, self._who, handed), strict=True):
            if origin is not None:
                done = self._settled(
                    item, ItemDone(item.row, item.model, "known", str(origin.ref)), origin.ref
                )
                answered += [] if done is None else [done]
            elif item.source is None:
                answered.append(ItemDone(item.row, item.model, "wanted"))
            else:
                todo.append(item)
        for name in {item.reference for item in todo if item.reference is not None}:
            saved_part(self._data.get(name), folder / _file_of(name, self._order.items))
        return answered, todo

    def _refusal(self, item: ItemGiven, before: Sequence[ItemGiven]) -> TsavoError | None:
        try:
            for other in before:
                # They are worked on side by side: which came last would be left to chance.
                if item.model == other.model or (item.segment is not None and item.segment == other.segment):
                    what = "name" if item.model == other.model else "segment"
                    raise Invalid(f"the {what} comes twice in one request", field=what, found=item.model)
            check_name(item.model, "name")
            if item.endpoint is not None:
                check_name(item.endpoint, "endpoint")
            if self._order.family is not None and item.segment is None:
                raise Invalid(
                    "no segment is named", field="segment", expected="the family's key of this model"
                )
            for what, part in (("source", item.source), ("reference", item.reference)):
                if part is not None and not isinstance(self._data.get(part), UploadFile):
                    raise Invalid("there is no such file part", field=what, found=part)
        except TsavoError as error:
            return error
        return None

    async def _one(self, item: ItemGiven, folder: Path) -> ItemDone | None:
        try:
            return await REGISTRATIONS.run(lambda: self._register(item, folder))
        except TsavoError as error:
            return _failed(item, error)
        except Exception as error:
            _LOG.error("registering %s failed", item.model, exc_info=error)
            return _failed(
                item, TsavoError("Tsavo failed on this model", next_step="see console.log in the home")
            )

    def _register(self, item: ItemGiven, folder: Path) -> ItemDone | None:
        order = self._order
        with tempfile.TemporaryDirectory(dir=folder) as own:
            # Items may share a file, which has one place where it is read.
            with self._reading:
                source = saved_part(self._data.get(item.source or ""), Path(own) / "source")
            if source is None:
                raise Invalid("there is no model file", field="source", expected="a file part of its name")
            reference = None
            if item.reference is not None:
                reference = folder / _file_of(item.reference, order.items)
            made = register(
                self._parts.plane,
                self._who,
                Registration(
                    model=item.model,
                    source=source,
                    source_name=item.source_name[:200],
                    reference=reference,
                    target=item.target,
                    trusted=order.trusted,
                    code_commit=order.code_commit,
                    hints=item.hints,
                    runtime=order.runtime,
                    owner=item.owner,
                    why=item.why[:_LONGEST_WHY],
                ),
            )
        ref = made.version.ref
        done = ItemDone(item.row, item.model, "registered" if made.new else "known", str(ref))
        return self._settled(item, done, ref)

    def _settled(self, item: ItemGiven, done: ItemDone, ref: VersionRef) -> ItemDone | None:
        """Once its version is where it belongs; ``None`` while it waits for the others of its family."""
        if self._order.family is not None:
            self._members.append((item, done))
            return None
        if not self._order.deploy:
            return done
        endpoint = item.endpoint or item.model
        try:
            deploy_once(self._parts.plane, self._who, endpoint, ref, why=item.why[:_LONGEST_WHY])
        except TsavoError as error:
            return msgspec.structs.replace(done, error=problem_of(error))
        return msgspec.structs.replace(done, endpoint=endpoint)

    def _placed(self) -> list[ItemDone]:
        """The members of the family, once they are."""
        family = self._order.family
        if family is None:
            return []
        refused: dict[str, TsavoError] = {}
        by_why: dict[str, dict[str, VersionRef]] = {}
        for item, done in self._members:
            segments = by_why.setdefault(item.why[:_LONGEST_WHY], {})
            segments[item.segment or ""] = VersionRef.parse(done.version or "")
        for why, versions in by_why.items():
            refused |= place_members(self._parts.plane, self._who, family, versions, why=why)
        return [
            msgspec.structs.replace(done, error=problem_of(refused[item.segment or ""]))
            if item.segment in refused
            else msgspec.structs.replace(done, endpoint=family, segment=item.segment)
            for item, done in self._members
        ]


def _handed(item: ItemGiven, order: ManyGiven) -> Handed:
    return Handed(item.model, item.source_digest, item.data_digest, item.target, item.hints, order.runtime)


def _file_of(part: str, items: Sequence[ItemGiven]) -> str:
    """A name of ours for a shared reference; what the caller calls it never reaches the file system."""
    first = next(at for at, item in enumerate(items) if item.reference == part)
    return f"reference-{first}"


def _failed(item: ItemGiven, error: TsavoError) -> ItemDone:
    return ItemDone(item.row, item.model, "failed", error=problem_of(error))


def _order(text: Any) -> ManyGiven:
    try:
        # A form parser may already have read the JSON.
        if isinstance(text, str | bytes):
            return msgspec.json.decode(text, type=ManyGiven)
        return msgspec.convert(text, ManyGiven)
    except (msgspec.MsgspecError, TypeError) as error:
        raise Invalid(f"the order is wrong: {error}", field="order", expected="JSON with items") from error


BULK_ROUTES = [register_many]
