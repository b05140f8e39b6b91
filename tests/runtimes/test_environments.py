from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import tsavo
from tsavo.runtimes.environments import Environments, Lock
from tsavo.vocabulary import Damaged, Invalid, Unavailable

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"
SOURCE = str(Path(tsavo.__path__[0]).resolve().parent)


def wheel(folder: Path, name: str, version: str, *, needs: str = "", file: str = "value = 1\n") -> None:
    """A wheel of one module, as small as they come."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needed = f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", file)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels: small ones, and stand-ins of those that every environment has."""
    folder = tmp_path_factory.mktemp("wheels")
    wheel(folder, "msgspec", "1.0")
    wheel(folder, "numpy", "9.0")
    wheel(folder, "granite", "1.0", needs="basalt>=2")
    wheel(folder, "granite", "1.1", needs="basalt>=2")
    wheel(folder, "basalt", "2.0", file="value = 2\n")
    return folder


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def offline(tmp_path: Path, wheels: Path, told: list[str]) -> Environments:
    return Environments(tmp_path / "environments", wheels=wheels, progress=told.append)


def run(program: Path, code: str) -> str:
    done = subprocess.run([program, "-I", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_real_environment_from_the_registry(tmp_path: Path) -> None:
    """Needs the machine's package registry, or uv's cache of it."""
    told: list[str] = []
    environments = Environments(tmp_path, progress=told.append)
    lock = environments.lock(["six==1.17.0"], None)
    assert "six==1.17.0" in lock.requirements
    assert {line.partition("==")[0] for line in lock.requirements} == {"six", "msgspec", "numpy"}
    program = environments.ensure(lock)
    code = "import sys, six, msgspec, numpy; print(six.__version__, '%d.%d' % sys.version_info[:2])"
    assert run(program, code) == f"1.17.0 {OURS}"
    assert any(line.startswith("resolving") for line in told)
    assert any(line.startswith("installing") for line in told)


def test_offline_from_a_folder_of_wheels(offline: Environments, wheels: Path) -> None:
    lock = offline.lock(["granite==1.0"], None)
    assert lock.requirements == ("basalt==2.0", "granite==1.0", "msgspec==1.0", "numpy==9.0")
    assert run(offline.ensure(lock), "import granite, basalt; print(granite.value + basalt.value)") == "3"
    # What is not in the folder does not exist, though a registry may have it.
    with pytest.raises(Invalid, match="no set of wheels") as caught:
        offline.lock(["six"], None)
    assert str(wheels) in str(caught.value)


def test_the_lock_holds_hashes_and_no_place(offline: Environments, wheels: Path) -> None:
    lock = offline.lock(["granite"], None)
    assert lock.text.count("--hash=sha256:") == 4
    assert str(wheels) not in lock.text
    for word in ("index", "find-links", "://"):
        assert word not in lock.text


@pytest.fixture
def registry(wheels: Path, tmp_path: Path) -> Iterator[str]:
    """A package index that answers over HTTP, as a company's own does; its address has a password."""
    for file in wheels.glob("*.whl"):
        page = tmp_path / "served" / "simple" / file.name.partition("-")[0]
        page.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, page)
        links = "".join(f'<a href="{one.name}">{one.name}</a>' for one in page.glob("*.whl"))
        (page / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://user:hunter2@127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


def test_no_address_of_a_registry_is_written_down(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", registry)
    environments = Environments(tmp_path / "environments")
    lock = environments.lock(["granite"], None)
    assert lock.requirements == ("basalt==2.0", "granite==1.1", "msgspec==1.0", "numpy==9.0")
    program = environments.ensure(lock)
    assert run(program, "import granite; print(granite.value)") == "1"
    files = [
        path for path in (tmp_path / "environments").rglob("*") if path.is_file() and path.name != "python"
    ]
    assert any(path.name == "lock.txt" for path in files)
    for word in (b"hunter2", b"127.0.0.1:", registry.encode()):
        assert [
            path for path in files if "site-packages" not in path.parts and word in path.read_bytes()
        ] == []
        assert word.decode() not in lock.text


def test_an_unreachable_registry_is_not_the_persons_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://user:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(Unavailable) as caught:
        Environments(tmp_path / "environments").lock(["six"], None)
    assert "hunter2" not in str(caught.value)


def test_equal_locks_share_one_environment(offline: Environments, told: list[str]) -> None:
    one = offline.lock(["granite", "basalt"], OURS)
    two = offline.lock(["basalt >= 2.0", "granite==1.1"], None)
    assert one == two
    assert offline.ensure(one) == offline.ensure(two)
    assert sum(line.startswith("installing") for line in told) == 1
    assert offline.lock(["granite==1.0"], None).digest != one.digest


def test_the_digest_depends_on_python_and_is_checked(offline: Environments) -> None:
    lock = offline.lock([], None)
    assert Lock.of(lock.text, "3.99").digest != lock.digest
    with pytest.raises(Damaged):
        offline.ensure(Lock(lock.digest, lock.python, lock.text + "granite==1.0\n"))
    with pytest.raises(Unavailable, match="gone"):
        offline.ensure(Lock.of(lock.text, "3.99"))


def test_a_wheel_that_was_exchanged_is_not_installed(
    offline: Environments, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    wheel(wheels, "slate", "1.0")
    lock = offline.lock(["slate"], None)
    wheel(wheels, "slate", "1.0", file="value = 'other'\n")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another"))  # uv remembers the right one
    with pytest.raises(Unavailable, match="could not be made"):
        offline.ensure(lock)
    assert [path.name for path in (tmp_path / "environments").iterdir() if path.is_dir()] == []


def test_the_wished_python_or_ours_with_a_note(offline: Environments) -> None:
    assert offline.lock([], f"{OURS}.1").notes == ()
    for wish in ("3.8", "3.99"):
        lock = offline.lock([], wish)
        assert lock.python == OURS
        assert wish in lock.notes[0]
    with pytest.raises(Invalid, match="not a Python version"):
        offline.lock([], "; rm -rf /")


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "--editable=../x",
        "-i https://registry.invalid",
        "--find-links /tmp",
        "-r other.txt",
        "-c constraints.txt",
        "git+https://host.invalid/x.git",
        "six @ https://host.invalid/six-1.0-py3-none-any.whl",
        "six @ file:///tmp/six.whl",
        "https://host.invalid/six-1.0.tar.gz",
        "./six",
        "../six",
        "/tmp/six-1.0-py3-none-any.whl",
        "six-1.0-py3-none-any.whl",
        "C:\\six",
        "six==${HOME}",
        "six==1.0 --hash=sha256:00",
        "six\n--pre",
        "six;",
        "",
        "???",
    ],
)
def test_requirements_that_are_refused_by_name(offline: Environments, line: str) -> None:
    with pytest.raises(Invalid) as caught:
        offline.lock(["granite", line], None)
    assert caught.value.field == "requirements"
    assert caught.value.found == line


def test_no_code_of_a_package_runs_while_it_is_installed(
    offline: Environments, wheels: Path, tmp_path: Path
) -> None:
    """A source package, which brings the program that builds it, is no candidate."""
    folder = tmp_path / "loud"
    folder.mkdir()
    backend = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (folder / "pyproject.toml").write_text(f'{backend}[project]\nname = "loud"\ndynamic = ["version"]\n')
    (folder / "backend.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with tarfile.open(wheels / "loud-1.0.tar.gz", "w:gz") as archive:
        archive.add(folder, "loud-1.0")
    with pytest.raises(Invalid, match="no set of wheels"):
        offline.lock(["loud"], None)
    assert not (tmp_path / "ran").exists()


PROGRAM = """
import sys
from pathlib import Path
from tsavo.runtimes.environments import Environments
environments = Environments(Path(sys.argv[1]), wheels=Path(sys.argv[2]), progress=lambda line: print(line, flush=True))
lock = environments.lock(["granite"], None)
print("locked", flush=True)
sys.stdin.readline()
program = environments.ensure(lock)
assert (program.parent.parent / "lock.txt").read_text() == lock.text
print("done", flush=True)
"""


@pytest.fixture
def two(tmp_path: Path, wheels: Path) -> Iterator[list[subprocess.Popen[str]]]:
    words = [sys.executable, "-c", PROGRAM, str(tmp_path / "environments"), str(wheels)]
    started = [
        subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": SOURCE},
        )
        for _ in range(2)
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_make_it_once(two: list[subprocess.Popen[str]]) -> None:
    for process in two:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "locked\n":
                break
    said = []

    def go(process: subprocess.Popen[str]) -> None:
        said.append(process.communicate("\n", timeout=60)[0])

    threads = [threading.Thread(target=go, args=(process,)) for process in two]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(text.endswith("done\n") for text in said)
    assert sum("installing 4 packages" in text for text in said) == 1


def test_a_half_built_one_is_never_used(offline: Environments, tmp_path: Path) -> None:
    """What a builder leaves that was killed: a folder under another name, and a lock file that nobody holds."""
    lock = offline.lock(["granite"], None)
    folder = tmp_path / "environments"
    half = folder / f".building-{lock.digest}-dead"
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").write_text("#!/bin/false\n")
    (folder / f".{lock.digest}.lock").touch()
    assert run(offline.ensure(lock), "import granite; print(granite.value)") == "1"
    assert not half.exists()


def test_collecting_removes_what_no_version_needs(offline: Environments, tmp_path: Path) -> None:
    kept, gone = (offline.lock([line], None) for line in ("granite==1.0", "granite==1.1"))
    program = offline.ensure(kept)
    offline.ensure(gone)
    (tmp_path / "environments" / "notes").mkdir()
    assert offline.collect({kept.digest}, unwanted_seconds=3600) == ()
    assert offline.collect({kept.digest}) == (gone.digest,)
    assert run(program, "import granite") == ""
    assert offline.collect({kept.digest}) == ()
    assert (tmp_path / "environments" / "notes").exists()
    assert run(offline.ensure(gone), "import granite; print(granite.value)") == "1"


def test_without_uv_the_mend_is_named(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; sys.modules['uv'] = None; sys.executable = '/nowhere/python'\n"
        "from tsavo.runtimes.environments import Environments\n"
        "from tsavo.vocabulary import Unavailable\n"
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "try:\n    Environments(pathlib.Path(sys.argv[1])).lock(['six'], None)\n"
        "except Unavailable as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/nowhere", "PYTHONPATH": SOURCE},
    )
    assert "pip install" in done.stdout
