"""Two processes do not have the same turn, and one that is killed gives it back."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from tsavo.storage import taking_turns

_HOLDER = (
    "import sys, time; from pathlib import Path; from tsavo.storage import taking_turns\n"
    "with taking_turns(Path(sys.argv[1])): print('mine', flush=True); time.sleep(60)"
)


def test_a_turn_is_waited_for_and_comes_back_from_the_dead(tmp_path: Path) -> None:
    path = tmp_path / "turn"
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"mine\n"
    mine = threading.Event()

    def take() -> None:
        with taking_turns(path):
            mine.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    assert not mine.wait(0.3)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert mine.wait(60)
    waiting.join()
