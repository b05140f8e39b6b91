from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tsavo.storage import ArtifactStore
from tsavo.vocabulary import Damaged, NotFound

CONTENT = b"a model" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["folder", "memory", "file-url"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """A local folder, and object stores behind a URL."""
    if request.param == "folder":
        return ArtifactStore(tmp_path / "artifacts", tmp_path / "cache")
    if request.param == "memory":
        return ArtifactStore("memory:///", tmp_path / "cache")
    (tmp_path / "bucket").mkdir()
    return ArtifactStore(f"file://{tmp_path / 'bucket'}", tmp_path / "cache")


def spoil(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.chmod(0o600)
    path.write_bytes(change(path.read_bytes()))


def test_content_comes_back_by_what_it_is(store: ArtifactStore) -> None:
    assert store.put(CONTENT) == DIGEST
    assert store.put(CONTENT) == DIGEST
    assert store.get(DIGEST) == CONTENT
    assert store.path(DIGEST).read_bytes() == CONTENT
    store.verify(DIGEST)
    assert store.writable()


def test_nothing_and_much_can_be_kept(store: ArtifactStore) -> None:
    for content in (b"", bytes(3_000_000)):
        assert store.get(store.put(content)) == content


def test_what_is_not_there_is_named(store: ArtifactStore) -> None:
    for look in (store.get, store.path, store.verify):
        with pytest.raises(NotFound) as caught:
            look("0" * 64)
        assert caught.value.found == "0" * 64


@pytest.mark.parametrize(
    "digest", ["", "x", "../" * 20 + "etc/passwd", DIGEST.upper(), DIGEST + "\n", DIGEST[:-1]]
)
def test_a_name_that_is_no_digest_never_becomes_a_path(store: ArtifactStore, digest: str) -> None:
    for look in (store.get, store.path, store.verify):
        with pytest.raises(NotFound):
            look(digest)


@pytest.mark.parametrize(
    "change", [lambda old: old[:-1], lambda old: old + b"x", lambda old: b"A" + old[1:], lambda old: b""]
)
def test_a_changed_artifact_is_noticed(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    store = ArtifactStore(tmp_path / "artifacts", tmp_path / "cache")
    spoil(store.path(store.put(CONTENT)), change)
    for look in (store.get, store.verify):
        with pytest.raises(Damaged) as caught:
            look(DIGEST)
        assert caught.value.found == DIGEST


def test_a_changed_object_is_not_copied_to_this_machine(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    store = ArtifactStore(f"file://{bucket}", tmp_path / "cache")
    store.put(CONTENT)
    spoil(bucket / DIGEST[:2] / DIGEST[2:], lambda old: old[::-1])
    with pytest.raises(Damaged):
        store.path(DIGEST)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_local_copy_that_changed_is_noticed(tmp_path: Path) -> None:
    store = ArtifactStore("memory:///", tmp_path / "cache")
    store.put(CONTENT)
    spoil(store.path(DIGEST), lambda old: old + b"x")
    with pytest.raises(Damaged):
        store.verify(DIGEST)


def test_what_is_kept_is_for_its_owner_only_and_not_for_writing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts", tmp_path / "cache")
    path = store.path(store.put(CONTENT))
    assert path.stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "artifacts").stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_many_who_keep_the_same_content_at_once(store: ArtifactStore) -> None:
    failures: list[BaseException] = []

    def keep() -> None:
        try:
            for number in range(10):
                assert store.get(store.put(b"%d" % number)) == b"%d" % number
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=keep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
