"""``python -m tsavo.runtimes.confinement``: confine yourself and say, as JSON, what that was."""

from __future__ import annotations

import json
import sys

from tsavo.runtimes.confinement import Confinement, confine, mapped_bytes

if __name__ == "__main__":
    done = confine(
        Confinement(
            read=(),
            write=(),
            memory_bytes=mapped_bytes() + (1 << 30),
            cpu_seconds=10,
            open_files=64,
            file_bytes=1 << 20,
            processes=8,
        )
    )
    sys.stdout.write(json.dumps(done))
