"""What the members of a family answered to the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.client.scoring import OutputTensor, output_array
from tsavo.vocabulary import decision_id, parse_decision_id

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AllAnswers", "FamilyScores", "joined"]

_SYSTEM: Final = ("segment", "row", "decision_id", "version", "role", "flags")


class _Answered(msgspec.Struct):
    segment: str
    version: str
    role: str = ""
    decision_id: str = ""
    flags: list[str] = []
    row_flags: dict[str, list[str]] = {}
    outputs: list[OutputTensor] = []
    error: dict[str, Any] | None = None


class AllAnswers(msgspec.Struct):
    """One page of answers, as the gateway gives them."""

    rows: int
    members: list[_Answered]
    after: str | None


class FamilyScores(msgspec.Struct, frozen=True):
    """Answers of the members that could answer, in order of their segments.

    Attributes
    ----------
    segments, versions, roles
        One of each a member.
    outputs
        Output name -> array [members, rows], or [members, rows, width].
    decision_ids
        For each member one id a row.
    flags
        For each member what applies to each row.
    errors
        Segment -> why nobody could answer for it; not among the others.
    """

    segments: list[str]
    versions: list[str]
    roles: list[str]
    outputs: dict[str, npt.NDArray[Any]]
    decision_ids: list[list[str]]
    flags: list[list[list[str]]]
    errors: dict[str, str]

    def __len__(self) -> int:
        return len(self.segments)

    def to_arrow(self) -> pa.Table:
        """A table with a row for each member and row: ``segment``, ``row``, ``decision_id``, the outputs, and more.

        An output that is itself called like one of the other columns is ``prediction.<output>``.
        """
        import pyarrow as pa

        rows = len(self.decision_ids[0]) if self.decision_ids else 0
        columns: dict[str, Any] = {
            "segment": [segment for segment in self.segments for _ in range(rows)],
            "row": list(range(rows)) * len(self.segments),
            "decision_id": [one for ids in self.decision_ids for one in ids],
        }
        for name, values in self.outputs.items():
            flat = values.reshape(-1, *values.shape[2:])
            plain = flat if flat.ndim == 1 and flat.dtype != object else flat.tolist()
            columns[f"prediction.{name}" if name in _SYSTEM else name] = plain
        columns |= {
            "version": [version for version in self.versions for _ in range(rows)],
            "role": [role for role in self.roles for _ in range(rows)],
        }
        flags = [one for member in self.flags for one in member]
        return pa.table(columns).append_column("flags", pa.array(flags, pa.list_(pa.string())))

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame."""
        return self.to_arrow().to_pandas()


def joined(answers: Sequence[AllAnswers]) -> FamilyScores:
    """The pages of one question as one."""
    members = [member for answer in answers for member in answer.members]
    fine = [member for member in members if member.error is None]
    rows = answers[0].rows
    ids = []
    for member in fine:
        if not member.decision_id:
            # Answered, and flagged as not recorded.
            ids.append([""] * rows)
            continue
        request, first = parse_decision_id(member.decision_id)
        ids.append([decision_id(request, first + row) for row in range(rows)])
    # A member may have outputs that the others do not have.
    names = [
        output.name
        for output in (fine[0].outputs if fine else ())
        if all(output.name in {other.name for other in member.outputs} for member in fine)
    ]
    return FamilyScores(
        segments=[member.segment for member in fine],
        versions=[member.version for member in fine],
        roles=[member.role for member in fine],
        outputs={name: np.stack([_output(member, name) for member in fine]) for name in names},
        decision_ids=ids,
        flags=[
            [[*member.flags, *member.row_flags.get(str(row), [])] for row in range(rows)] for member in fine
        ],
        errors={
            member.segment: str(member.error.get("detail", ""))
            for member in members
            if member.error is not None
        },
    )


def _output(member: _Answered, name: str) -> npt.NDArray[Any]:
    return output_array(next(output for output in member.outputs if output.name == name))
