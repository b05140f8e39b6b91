"""What every member of a family is asked: the rows as it sees them, and which members that are."""

from __future__ import annotations

from collections.abc import Sequence

from tsavo.endpoints.inputs import InputTensor
from tsavo.endpoints.lanes import Lane
from tsavo.endpoints.loaded import LoadedVersion
from tsavo.vocabulary import Batch, Invalid, Member, Refused, Segments, TooLarge

__all__ = ["FamilyRows", "chosen_members", "segments_of"]


class FamilyRows:
    """The rows of a request as each member sees them: with its own segment where the versions take the key.

    Parameters
    ----------
    champion
        Whose signature callers speak.
    tensors
        As they were sent; the key among them is not looked at.

    Raises
    ------
    Invalid, TooLarge
        When there are no rows or too many, or they are wrong whatever the segment.
    """

    def __init__(self, champion: LoadedVersion, segments: Segments, tensors: Sequence[InputTensor]) -> None:
        self._reader = champion.reader
        self._segments = segments
        self._tensors = [tensor for tensor in tensors if tensor.name != segments.key]
        self.count = _count(self._tensors, champion.reader.max_rows)
        names = [field.name for field in champion.signature.inputs]
        self._same: tuple[Batch, dict[int, list[str]]] | None = None
        if segments.key in names:
            _check_columns(self._tensors, names, segments.key)
        else:
            self._same = self._reader.read(self._tensors)

    def most_members(self, limit: int | None) -> int:
        """How many members may be asked: `limit`, as long as rows times members are not too many for one request."""
        if limit is not None and limit < 1:
            raise Invalid("not a number of members", field="limit", found=limit, expected="1 or more")
        most = self._reader.max_rows // self.count
        return most if limit is None else min(limit, most)

    def check(self, member: Member) -> None:
        """Raise `Invalid` when the rows are wrong for reasons that are not this member's."""
        try:
            self.of(member)
        except Invalid as error:
            if not (error.field or "").startswith(f"inputs.{self._segments.key}"):
                raise

    def of(self, member: Member) -> tuple[Batch, dict[int, list[str]]]:
        """The batch for this member, and what applies to single rows of it."""
        if self._same is not None:
            return self._same
        value = int(member.segment) if self._segments.dtype == "int64" else member.segment
        key = InputTensor(self._segments.key, (self.count,), [value] * self.count)
        return self._reader.read([*self._tensors, key])


def segments_of(lane: Lane) -> Segments:
    """By what the family of this lane is divided; raise `Refused` where it is none."""
    segments = lane.route.segments
    if segments is None:
        endpoint = lane.route.endpoint
        raise Refused(
            "this endpoint is no family",
            field="family",
            found=endpoint,
            expected="an endpoint with a column that chooses among versions",
            next_step=f"ask it at /v2/models/{endpoint}/infer",
        )
    return segments


def chosen_members(lane: Lane, segments: Sequence[str] | None, after: str) -> list[Member]:
    """The members behind `after` that have a version, or those of `segments`, in order of their segments."""
    members = lane.members
    if segments is None:
        found = [one for one in members.values() if one.version is not None and one.segment > after]
        return sorted(found, key=lambda one: one.segment)
    for place, segment in enumerate(segments):
        member = members.get(segment)
        if member is None or member.version is None:
            raise Invalid(
                f"family '{lane.route.endpoint}' has no version for this segment",
                field=f"segments[{place}]",
                found=segment,
                expected="segments that have a version",
                next_step=f"see them with 'tsavo family ls {lane.route.endpoint}'",
            )
    return [members[segment] for segment in sorted(set(segments)) if segment > after]


def _count(tensors: Sequence[InputTensor], most: int) -> int:
    if not tensors or not tensors[0].shape or tensors[0].shape[0] < 1:
        raise Invalid(
            "there are no rows", field="inputs", expected="at least one tensor with at least one row"
        )
    rows = tensors[0].shape[0]
    if rows > most:
        raise TooLarge(
            "too many rows",
            field="inputs",
            found=f"{rows} rows",
            expected=f"at most {most} rows times members",
            next_step="send fewer rows in each request",
        )
    return rows


def _check_columns(tensors: Sequence[InputTensor], names: Sequence[str], key: str) -> None:
    if len(tensors) == 1 and tensors[0].name not in names:
        raise Invalid(
            f"a matrix has no room for the column '{key}', which is each member's own",
            field=f"inputs.{tensors[0].name}",
            found=f"one tensor of shape {list(tensors[0].shape)}",
            expected=f"one tensor for each of {[name for name in names if name != key]}",
        )
