from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tsavo.journal import Reservations

_OTHER = """
import sys, time
from pathlib import Path
from tsavo.journal import Reservations
reservations = Reservations(Path(sys.argv[1]))
print(reservations.take(b"a" * 16), reservations.take(b"b" * 16), flush=True)
time.sleep(60)
"""


def other_process(path: Path) -> subprocess.Popen[str]:
    """Takes the keys a and b, says whether they were free, and lives on."""
    return subprocess.Popen([sys.executable, "-c", _OTHER, str(path)], stdout=subprocess.PIPE, text=True)


def test_what_another_process_has_is_taken_until_it_dies(tmp_path: Path) -> None:
    path = tmp_path / "reserved"
    mine = Reservations(path)
    assert mine.take(b"b" * 16)
    other = other_process(path)
    assert other.stdout is not None
    assert other.stdout.readline() == "True False\n"
    assert not mine.take(b"a" * 16)
    assert mine.take(b"c" * 16)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    assert mine.take(b"a" * 16)
    mine.close()


def test_what_was_given_back_is_free(tmp_path: Path) -> None:
    path = tmp_path / "reserved"
    mine = Reservations(path)
    assert mine.take(b"a" * 16)
    assert mine.take(b"b" * 16)
    mine.free(b"a" * 16)
    other = other_process(path)
    assert other.stdout is not None
    assert other.stdout.readline() == "True False\n"
    other.kill()
    other.wait()
    other.stdout.close()
    mine.close()
