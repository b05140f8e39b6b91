from __future__ import annotations

import io
from pathlib import Path

import httpx
import pytest

from tests.cli.conftest import CommandLine, Scene

ENDPOINT = "small-by-region"


@pytest.fixture(scope="module", autouse=True)
def family(scene: Scene) -> None:
    scene.running.tsavo("deploy", "small@1", "--endpoint", ENDPOINT)
    scene.running.tsavo("family", "make", ENDPOINT, "--key", "region")


@pytest.fixture(autouse=True)
def no_members(tsavo: CommandLine) -> None:
    if present := [member["segment"] for member in tsavo.json("family", "ls", ENDPOINT)]:
        tsavo.done("family", "remove", ENDPOINT, *present)


def test_making_a_family(tsavo: CommandLine) -> None:
    said = tsavo.done("family", "make", ENDPOINT, "--key", "region", "--unseen", "refuse", "--why", "strict")
    assert "a family by 'region' (string); rows of all others are refused" in said
    route = tsavo.json("family", "make", ENDPOINT, "--key", "region")
    assert route["segments"] == {"key": "region", "dtype": "string", "unseen": "parent"}
    assert "no such endpoint" in tsavo.refused("family", "make", "nowhere", "--key", "region")
    tsavo.wrong("family", "make", ENDPOINT)
    tsavo.wrong("family", "make", ENDPOINT, "--key", "region", "--unseen", "maybe")


def test_segments_by_words(tsavo: CommandLine) -> None:
    said = tsavo.done("family", "set", ENDPOINT, "north=small@1", "a=b=small")
    assert said == f"{ENDPOINT}: 2 changed, 2 members\n"
    members = tsavo.json("family", "ls", ENDPOINT)
    versions = {member["segment"]: member["version"] for member in members}
    assert versions.keys() == {"north", "a=b"}
    # A model without a number is its newest version, to which other tests on this home may have added.
    assert versions["north"]["number"] == 1
    assert versions["a=b"]["model"] == "small"
    assert tsavo.json("family", "set", ENDPOINT, "north=small@1")["changed"] == 0
    assert "segments.east" in tsavo.refused("family", "set", ENDPOINT, "west=small@1", "east=small@9")
    assert "SEGMENT=MODEL@N" in tsavo.refused("family", "set", ENDPOINT, "north")
    assert "--file" in tsavo.refused("family", "set", ENDPOINT)


def test_segments_by_file(tsavo: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "members.csv"
    path.write_text("version,segment\nsmall@1,north\n" + "".join(f"small@1,s{one:02}\n" for one in range(60)))
    assert tsavo.json("family", "set", ENDPOINT, "--file", str(path))["members"] == 61
    shown = tsavo.done("family", "ls", ENDPOINT)
    assert "The first 50 of 61" in shown
    assert "s58" not in shown
    assert "s58" in tsavo.done("family", "ls", ENDPOINT, "--all")
    assert len(tsavo.json("family", "ls", ENDPOINT, "--search", "s5")) == 10
    listed = 'segment,version\n"Genève, VD",small@1\n'.encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(listed)))
    assert tsavo.json("family", "set", ENDPOINT, "--file", "-")["changed"] == 1
    assert "Genève, VD" in tsavo.done("family", "ls", ENDPOINT, "--search", "VD")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("segment\nnorth\n", "columns segment and version"),
        ("", "Empty CSV file"),
        ("segment,version\nnorth,small@1\nnorth,small@1\n", "row 2"),
        ("segment,version\nnorth,\n", "row 1"),
        ("segment,version\nnorth\n", "Expected 2 columns, got 1"),
    ],
)
def test_a_file_that_is_no_list_of_members(tsavo: CommandLine, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "members.csv"
    path.write_text(text)
    assert said in tsavo.refused("family", "set", ENDPOINT, "--file", str(path))


def test_files_that_cannot_be_read(tsavo: CommandLine, tmp_path: Path) -> None:
    assert "no such file" in tsavo.refused("family", "set", ENDPOINT, "--file", str(tmp_path / "none.csv"))
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    assert "not a csv table" in tsavo.refused(
        "family", "set", ENDPOINT, "--file", str(tmp_path / "binary.csv")
    )
    (tmp_path / "numbers.json").write_text('[{"segment": "007", "version": "small@1"}]')
    assert tsavo.json("family", "set", ENDPOINT, "--file", str(tmp_path / "numbers.json"))["changed"] == 1
    assert [one["segment"] for one in tsavo.json("family", "ls", ENDPOINT, "--search", "007")] == ["007"]
    # Leading zeros are part of a segment.
    (tmp_path / "numbers.csv").write_text("segment,version\n008,small@1\n")
    assert tsavo.json("family", "set", ENDPOINT, "--file", str(tmp_path / "numbers.csv"))["changed"] == 1
    assert [one["segment"] for one in tsavo.json("family", "ls", ENDPOINT, "--search", "008")] == ["008"]


def test_taking_out_and_the_plug(tsavo: CommandLine, scene: Scene) -> None:
    tsavo.done("family", "set", ENDPOINT, "north=small@1", "south=small@1")
    assert tsavo.done("family", "remove", ENDPOINT, "south") == f"{ENDPOINT}: 1 changed, 1 members\n"
    assert "no version for this segment" in tsavo.refused("family", "remove", ENDPOINT, "south")
    assert "PLUG PULLED" in tsavo.done("family", "plug", ENDPOINT, "north", "--why", "odd")
    assert "plug pulled by" in tsavo.done("family", "ls", ENDPOINT)
    assert tsavo.json("family", "plug", ENDPOINT, "north", "--off")["plug"] is None
    state = httpx.get(f"{scene.running.gateway}/v2/families/{ENDPOINT}").json()
    assert state["members"] == 1


def test_a_family_in_other_lists(tsavo: CommandLine) -> None:
    assert "No members yet" in tsavo.done("family", "ls", ENDPOINT)
    assert "No members like that" in tsavo.done("family", "ls", ENDPOINT, "--search", "mars")
    assert "no family" in tsavo.refused("family", "ls", "small")
    assert "0 members by 'region'; rows of other segments are answered" in tsavo.done("show", ENDPOINT)
    assert "members" not in tsavo.done("show", "small")
