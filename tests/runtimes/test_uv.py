from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tsavo.runtimes.uv import Uv, UvFailed, pip_settings, translated
from tsavo.vocabulary import Invalid


def test_pips_settings_in_uvs_words() -> None:
    lines = [
        "global.index-url='https://one.example/simple'",
        "global.extra-index-url='https://two.example/simple\\nhttps://three.example/simple'",
        "global.find-links='/a /b'",
        "global.timeout='60'",
        "install.trusted-host='one.example'",
        ":env:.index-url='https://four.example/simple'",
        "no setting at all",
    ]
    assert translated(lines) == {
        "UV_DEFAULT_INDEX": "https://four.example/simple",
        "UV_INDEX": "https://two.example/simple https://three.example/simple",
        "UV_FIND_LINKS": "/a,/b",
        "UV_INSECURE_HOST": "one.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    assert translated([":env:.no-index='0'"]) == {}
    assert translated([":env:.no-index='1'"]) == {"UV_NO_INDEX": "1"}


def test_pip_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip prints is what `translated` reads: its real output goes in."""
    asked = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if asked.returncode != 0:
        pytest.skip("needs pip")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/it's")
    assert pip_settings()["UV_DEFAULT_INDEX"] == "https://mirror.example/it's"


def test_uv_uses_what_pip_is_told_unless_it_was_told_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.runtimes.test_environments import wheel
    from tsavo.runtimes.environments import Environments

    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    # Nor the settings of whoever runs the tests.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("msgspec", "numpy", "granite"):
        wheel(tmp_path / "wheels", name, "77.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    environments = Environments(tmp_path / "environments")
    assert environments.lock(["granite"], None).requirements == (
        "granite==77.0",
        "msgspec==77.0",
        "numpy==77.0",
    )
    (tmp_path / "config" / "uv").mkdir(parents=True)
    (tmp_path / "config" / "uv" / "uv.toml").write_text("no-index = true\n")
    with pytest.raises(Invalid, match="no set of wheels"):
        environments.lock(["granite"], None)


def test_what_uv_says_is_passed_on_without_addresses(tmp_path: Path) -> None:
    failed = UvFailed("  × No luck at https://user:secret@host.example/x today\n  ╰─▶ because\n")
    assert failed.told == "No luck at (address) today because"
    told: list[str] = []
    with pytest.raises(UvFailed) as caught:
        Uv.found(None, told.append).run("pip", "compile", "nowhere.in", folder=tmp_path)
    assert "nowhere.in" in caught.value.told
