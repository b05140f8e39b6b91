"""Which files are merged: neighbours only, each row a few times, and never what is large."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tsavo.lake.clustering import LARGE_BYTES, pieces
from tsavo.lake.tables import DataFile

MOST = 7


def file(number: int, size: int, rows: int | None = None) -> DataFile:
    at = f"{number:08d}"
    return DataFile(f"f{number}", size // 1_000 if rows is None else rows, size, {"id": at}, {"id": at})


def merged(piece: list[DataFile]) -> DataFile:
    return DataFile(
        f"m-{piece[0].path}-{len(piece)}",
        sum(one.rows for one in piece),
        sum(one.bytes for one in piece),
        {"id": min(one.low["id"] for one in piece)},
        {"id": max(one.high["id"] for one in piece)},
    )


def settle(files: list[DataFile]) -> tuple[list[DataFile], int]:
    """Merge until nothing is left to merge; also how many bytes that wrote."""
    written = 0
    while found := next(pieces(files, "id", MOST), None):
        files = [one for one in files if one not in found] + [merged(found)]
        written += files[-1].bytes
    return files, written


def test_few_small_files_are_left_alone() -> None:
    assert list(pieces([file(number, 1_000) for number in range(MOST)], "id", MOST)) == []
    assert len(next(pieces([file(number, 1_000) for number in range(MOST + 1)], "id", MOST))) == MOST + 1


def test_a_large_file_parts_its_neighbours() -> None:
    files = [file(number, 1_000) for number in range(10)] + [file(10, LARGE_BYTES)]
    files += [file(number, 1_000) for number in range(11, 20)]
    found = [[one.path for one in piece] for piece in pieces(files[::-1], "id", MOST)]
    assert found == [[f"f{number}" for number in range(10)], [f"f{number}" for number in range(11, 20)]]


def test_no_piece_is_more_than_a_large_file_or_too_many_rows_to_sort() -> None:
    size = LARGE_BYTES // 4
    assert [len(piece) for piece in pieces([file(number, size) for number in range(12)], "id", MOST)] == [
        4,
        4,
        4,
    ]
    many = [file(number, 1_000, rows=800_000) for number in range(9)]
    assert [len(piece) for piece in pieces(many, "id", MOST)] == [2, 2, 2, 2]


def test_a_row_is_written_once_a_level() -> None:
    # A commit of 20 kB every time, for as long as it takes to fill four large files.
    size = 20_000
    files: list[DataFile] = []
    written = total = 0
    for number in range(4 * LARGE_BYTES // size):
        files.append(file(number, size))
        total += size
        files, more = settle(files)
        written += more
    levels = math.log(LARGE_BYTES / size, 8)
    # Once a level, and at the lowest one a few times, for eight commits do not fill it.
    assert written / total < levels + 2
    assert len(files) <= 4 * (MOST + 1) + 5


@given(st.lists(st.integers(100, 2 * LARGE_BYTES), max_size=60))
def test_merging_ends_and_pieces_are_stretches_that_do_not_overlap(sizes: list[int]) -> None:
    files = [file(number, size) for number, size in enumerate(sizes)]
    for piece in pieces(files, "id", MOST):
        numbers = sorted(int(one.low["id"]) for one in piece)
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert all(one.bytes < LARGE_BYTES for one in piece)
    rest, _ = settle(files)
    assert sum(one.bytes for one in rest) == sum(sizes)
    assert next(pieces(rest, "id", MOST), None) is None
