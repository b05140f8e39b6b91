"""Writing the files of scheduled exports."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.queries import exported_query, next_run
from tsavo.lake import Allowance, Lake, write_answer
from tsavo.registry import due_exports, find_export, save_export
from tsavo.storage import replaced_file
from tsavo.vocabulary import Export, ExportRun, TsavoError

__all__ = ["run_due_exports", "run_export"]

# A cut file would be taken for the whole: more rows than these are a failure.
_MOST_ROWS: Final = 50_000_000
_MOST_SECONDS: Final = 300.0


def run_due_exports(plane: ControlPlane, lake: Lake, root: Path, *, most: int = 100) -> list[Export]:
    """Write the files whose time has come; return their exports with what came of it."""
    with plane.database.read() as connection:
        due = due_exports(connection, plane.clock.now(), limit=most)
    return [run_export(plane, lake, root, export) for export in due]


def run_export(plane: ControlPlane, lake: Lake, root: Path, export: Export) -> Export:
    """Write one export's file now, and keep what came of it.

    The file takes the place of the last one when it is whole. A run that fails leaves that as it was, is kept with its
    reason, and is tried again when it is due next.
    """
    started, began = plane.clock.now(), time.perf_counter()
    file = f"{export.folder}/{export.name}.{export.format}"
    try:
        rows, size = _write(plane, lake, root / file, export)
        run = ExportRun(started, time.perf_counter() - began, rows, size, file)
    except TsavoError as error:
        run = ExportRun(started, time.perf_counter() - began, error=str(error))
    except OSError as error:
        reason = f"the file cannot be written: {error.strerror or error}"
        run = ExportRun(started, time.perf_counter() - began, error=reason)
    with plane.database.begin() as connection:
        # It may have been changed or removed meanwhile: then the run is no longer of interest.
        if find_export(connection, export.name) != export:
            return export
        done = msgspec.structs.replace(export, last=run, next=next_run(export, started))
        save_export(connection, done)
    return done


def _write(plane: ControlPlane, lake: Lake, path: Path, export: Export) -> tuple[int, int]:
    with plane.database.read() as connection:
        query = exported_query(connection, export.query)
    with (
        lake.ask(query, Allowance(_MOST_ROWS, _MOST_SECONDS)) as answer,
        replaced_file(path) as sink,
    ):
        write_answer(answer, sink, export.format, raw=export.raw)
        if answer.truncated:
            raise TsavoError(
                "more rows than an export may have", field="query", expected=f"at most {_MOST_ROWS:,}"
            )
        size = sink.tell()
    return answer.rows, size
