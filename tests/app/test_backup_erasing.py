"""Keys of the erased leave every backup that can be reached, and the others as soon as they can be."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tsavo.app.backups import back_up, erase_in_backups, known_folders, restore
from tsavo.app.settings import Settings
from tsavo.privacy import KeyRing
from tsavo.storage import Home
from tsavo.vocabulary import Damaged

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class World:
    """A stopped home with the keys of three people, and a folder of two backups of it."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.home.create()
        self.home.settings.write_text("")
        self.ring = KeyRing(self.home.keys, self.home.keys / "master.key")
        self.folder = folder / "backups"
        store = self.ring.open(make=True)
        self.keys = {name: store.make(1, 1)[0] for name in ("ada", "bob", "cyd")}
        # Whose cyd's key is becomes known after the first backup.
        self.own("ada", "bob")
        self.back_up(0)
        self.own("cyd")
        self.back_up(1)

    def own(self, *names: str) -> None:
        self.ring.own((self.keys[name][0], self.ring.pseudonym(name)) for name in names)

    def back_up(self, days: int) -> None:
        back_up(self.home, Settings(), self.folder, now=NOW + timedelta(days=days))

    def erase(self, name: str) -> list[bytes]:
        return self.ring.open().erase(self.ring.pseudonym(name), [self.keys[name][0]], 2)

    def left_in(self, backup: str, folder: Path) -> set[str]:
        """Whose keys a backup opens, once it is restored."""
        target = folder / f"restored-{backup}"
        restore(self.folder, Home(target), backup=backup)
        ring = KeyRing(target / "keys", target / "keys" / "master.key")
        found = ring.open().open(key_id for key_id, _ in self.keys.values()).keys
        ring.close()
        shutil.rmtree(target)
        return {name for name, (key_id, key) in self.keys.items() if found.get(key_id) == key}

    @property
    def backups(self) -> list[str]:
        return sorted(path.stem for path in (self.folder / "backups").glob("*.json"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_home_knows_where_its_backups_are(world: World) -> None:
    assert known_folders(world.home) == [str(world.folder)]
    assert [world.left_in(one, world.folder.parent) for one in world.backups] == [{"ada", "bob", "cyd"}] * 2


def test_keys_leave_all_backups_of_a_folder(world: World, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in (world.folder / "files").glob("??/*")}
    subjects = {world.ring.pseudonym(name): world.erase(name) for name in ("ada", "cyd")}
    seen = erase_in_backups([str(world.folder)], subjects, ["lake/decisions/x/part-1.parquet"], NOW)
    assert seen.destroyed == {str(world.folder): 4}
    assert (seen.unreached, seen.found) == ((), {})
    assert [world.left_in(one, tmp_path) for one in world.backups] == [{"bob"}] * 2
    # Nothing but the keys was touched.
    after = {path.name: path.read_bytes() for path in (world.folder / "files").glob("??/*")}
    assert len(before.keys() - after.keys()) == 2
    assert all(after[name] == content for name, content in before.items() if name in after)
    again = erase_in_backups([str(world.folder)], subjects, [], NOW)
    assert again.destroyed == {str(world.folder): 0}


def test_a_folder_that_was_away_is_seen_to_by_the_next_backup(world: World, tmp_path: Path) -> None:
    world.folder.rename(tmp_path / "away")
    subjects = {world.ring.pseudonym("cyd"): world.erase("cyd")}
    seen = erase_in_backups(known_folders(world.home), subjects, [], NOW)
    assert (seen.destroyed, seen.unreached) == ({}, (str(world.folder),))
    (tmp_path / "away").rename(world.folder)
    world.back_up(2)
    assert [world.left_in(one, tmp_path) for one in world.backups] == [{"ada", "bob"}] * 3


def test_backups_that_hold_what_left_the_home_are_named(world: World) -> None:
    (world.home.artifacts / "ab").mkdir()
    (world.home.artifacts / "ab" / "abcdef").write_text("a sample")
    world.back_up(3)
    seen = erase_in_backups([str(world.folder)], {world.ring.pseudonym("ada"): []}, ["abcdef"], NOW)
    assert list(seen.found) == [f"backup {world.backups[-1]} in {world.folder}"]


def test_a_damaged_backup_is_told_and_the_others_are_seen_to(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    back_up(world.home, Settings(), other, now=NOW)
    (world.folder / "backups" / f"{world.backups[0]}.json").write_text("spoilt")
    subjects = {world.ring.pseudonym("ada"): world.erase("ada")}
    seen = erase_in_backups(known_folders(world.home), subjects, [], NOW)
    assert seen.destroyed == {str(other): 1}
    assert seen.unreached == (str(world.folder),)
    assert "not as it was written" in seen.found[f"backups in {world.folder}"]
    with pytest.raises(Damaged):
        world.left_in(world.backups[0], tmp_path)
