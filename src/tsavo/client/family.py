"""A family, as a handle: its members, and one row scored by all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from tsavo.client.columns import fitted
from tsavo.client.family_scores import AllAnswers, FamilyScores, joined
from tsavo.client.scoring import metadata_of
from tsavo.client.tables import as_table
from tsavo.client.transport import Transport
from tsavo.vocabulary import Invalid, Member, Page, Route, VersionRef

__all__ = ["Family", "FamilyInfo", "MembersChanged"]

_PAGE: Final = 1000


class FamilyInfo(msgspec.Struct, frozen=True):
    """A family: the column that chooses (``key``, ``dtype``, ``unseen``), its route, and how many members it has."""

    segments: dict[str, str]
    route: Route
    members: int
    url: str


class MembersChanged(msgspec.Struct, frozen=True):
    """How many members a change has changed, and how many there are now."""

    changed: int
    members: int
    revision: int


class _State(msgspec.Struct):
    key: str
    revision: int


class Family:
    """One family; it is made by `Client.family`.

    Parameters
    ----------
    newest
        The newest version of a model, by the model's name.
    """

    def __init__(
        self, name: str, console: Transport, gateway: Transport, newest: Callable[[str], VersionRef]
    ) -> None:
        self.name = name
        self._console = console
        self._gateway = gateway
        self._newest = newest
        self._path = f"/api/families/{name}"

    def __repr__(self) -> str:
        return f"<Family {self.name} at {self.url}>"

    @property
    def url(self) -> str:
        """Where rows are sent for all members to score."""
        return f"{self._gateway.base}/v2/families/{self.name}/infer_all"

    def make(
        self,
        key: str,
        *,
        dtype: Literal["string", "int64"] | None = None,
        unseen: Literal["parent", "refuse"] = "parent",
        why: str = "",
    ) -> Route:
        """Make the endpoint of this name a family: its champion becomes the parent.

        Parameters
        ----------
        key
            The column that chooses the segment: an input of the champion, or one that is sent beside them.
        dtype
            Of a column beside the inputs; by default ``string``.
        unseen
            What becomes of rows of a segment without a version: the ``parent`` answers, or they are ``refuse``-d.
        """
        body = {"key": key, "dtype": dtype, "unseen": unseen, "why": why}
        route: Route = self._console.post(f"{self._path}/make", body, Route)
        return route

    @property
    def info(self) -> FamilyInfo:
        """How it is divided, and how many members it has."""
        told: FamilyInfo = self._console.get(self._path, FamilyInfo)
        return told

    def members(self, search: str = "") -> Iterator[Member]:
        """Its members in order of their segments, page by page; `search` is a part of the segment."""
        offset: int | None = 0
        while offset is not None:
            page: Page[Member] = self._console.get(
                f"{self._path}/members", Page[Member], search=search or None, offset=offset, limit=_PAGE
            )
            yield from page.items
            offset = page.next_offset

    def member(self, segment: str | int) -> Member:
        """The member of one segment; raise `NotFound` when it has no version."""
        member: Member = self._console.get(f"{self._path}/member", Member, segment=str(segment))
        return member

    def set(self, versions: Mapping[Any, str | VersionRef], *, why: str = "") -> MembersChanged:
        """Let each segment be answered by its version: ``{"north": "sales-north@3", "south": "sales-south"}``.

        A model alone means its newest version. All of them or none; at most 50,000 in one call. Returns once the
        gateway answers with them.

        Raises
        ------
        Invalid, NotFound, Refused
            Naming the segment that cannot be, or whose version is not there or does not fit the parent.
        """
        newest: dict[str, VersionRef] = {}
        told = {}
        for segment, version in versions.items():
            text = str(version)
            if "@" not in text:
                if text not in newest:
                    newest[text] = self._newest(text)
                text = str(newest[text])
            told[str(segment)] = text
        return self._change("set", {"members": told, "why": why})

    def remove(self, *segments: str | int, why: str = "") -> MembersChanged:
        """Take segments out, all of them or none; their rows are unseen ones from then on."""
        return self._change("remove", {"segments": [str(segment) for segment in segments], "why": why})

    def plug(self, segment: str | int, why: str = "") -> Member:
        """Pull the plug of one segment: the parent answers for it."""
        return self._switch("plug", segment, why)

    def unplug(self, segment: str | int, why: str = "") -> Member:
        """Let the version of one segment answer again."""
        return self._switch("unplug", segment, why)

    def score_all(self, row: Any, *, segments: Iterable[str | int] | None = None) -> FamilyScores:
        """Score one row, or a few, by every member or by those of `segments`, in as few requests as possible.

        Parameters
        ----------
        row
            A dict of values; or a table (DataFrame, Arrow table, dict of columns, list of dicts). The column that
            chooses the segment is not needed: every member sees its own.

        Raises
        ------
        Invalid
            When a column is missing, a value does not fit, or a segment has no version; nothing was scored then.
        """
        told = metadata_of(self._gateway, self.name).inputs
        key = self._state().key
        table = as_table([row] if _is_one_row(row) else row)
        needed = [column for column in told if column.name != key]
        missing = [column.name for column in needed if column.name not in table.column_names]
        if missing:
            raise Invalid(
                f"{'a column is' if len(missing) == 1 else 'columns are'} missing: {', '.join(missing[:10])}",
                field=f"inputs.{missing[0]}",
                found=table.column_names[:20],
                expected=f"the columns {[column.name for column in needed]}",
            )
        inputs = [
            {
                "name": column.name,
                "datatype": column.datatype,
                "shape": [table.num_rows],
                "data": fitted(column, table.column(column.name)),
            }
            for column in needed
        ]
        body: dict[str, Any] = {"inputs": inputs}
        if segments is not None:
            body["segments"] = [str(segment) for segment in segments]
        answers: list[AllAnswers] = []
        after: str | None = ""
        while after is not None:
            answer = self._gateway.post(
                f"/v2/families/{self.name}/infer_all", {**body, "after": after}, AllAnswers
            )
            answers.append(answer)
            after = answer.after
        return joined(answers)

    def _change(self, what: str, body: dict[str, Any]) -> MembersChanged:
        changed: MembersChanged = self._console.post(f"{self._path}/{what}", body, MembersChanged)
        return changed

    def _switch(self, what: str, segment: str | int, why: str) -> Member:
        body = {"segment": str(segment), "why": why}
        member: Member = self._console.post(f"{self._path}/{what}", body, Member)
        return member

    def _state(self) -> _State:
        state: _State = self._gateway.get(f"/v2/families/{self.name}", _State)
        return state


def _is_one_row(row: Any) -> bool:
    """Whether this is one row as a dict of values, and not a dict of columns."""
    return isinstance(row, Mapping) and not any(
        hasattr(value, "__iter__") and not isinstance(value, str | bytes) for value in row.values()
    )
