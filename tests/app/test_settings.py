from __future__ import annotations

import json
from pathlib import Path

import pytest

from tsavo.app.settings import Settings, load_settings
from tsavo.storage import Home
from tsavo.vocabulary import Invalid, Refused, Unreadable


def settings_from(folder: Path, text: str | None = None, **environment: str) -> Settings:
    home = Home(folder)
    if text is not None:
        home.settings.write_text(text)
    return load_settings(home, environment=environment)


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    assert settings_from(tmp_path) == Settings()
    assert Settings().gateway.port == 8080
    assert Settings().gateway.grpc_port == 8081
    assert Settings().console.port == 8090


def test_the_environment_goes_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    text = "[gateway]\nport = 1000\nworkers = 2\n[console]\nport = 1001\n"
    home = Home(tmp_path)
    home.settings.write_text(text)
    environment = {"TSAVO_GATEWAY_PORT": "2000", "TSAVO_KEEPER_SHIP_SECONDS": "0.5"}
    settings = load_settings(
        home, environment=environment, overrides={"gateway": {"workers": 3, "port": None}, "console": {}}
    )
    assert (settings.gateway.port, settings.gateway.workers, settings.console.port) == (2000, 3, 1001)
    assert settings.keeper.ship_seconds == 0.5


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[gateway]\nprot = 1\n", "prot"),
        ("[gatway]\nport = 1\n", "gatway"),
        ("[gateway]\nport = 'x'\n", "gateway.port"),
        ("[gateway]\nport = 70000\n", "gateway.port"),
        ("[gateway]\ngrpc_port = -2\n", "gateway.grpc_port"),
        ("[gateway]\nworkers = 0\n", "gateway.workers"),
        ("[gateway]\nfollow_seconds = 5.0\n", "gateway.follow_seconds"),
        ("[gateway]\nidempotency_minutes = 0\n", "gateway.idempotency_minutes"),
        ("[gateway]\nidempotency_mib = 0\n", "gateway.idempotency_mib"),
        ("[gateway]\ncors_origins = 'https://a.example'\n", "gateway.cors_origins"),
        ("[gateway]\ncors_origins = [3]\n", "gateway.cors_origins"),
        ("gateway = 3\n", "gateway"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(Invalid) as caught:
        settings_from(tmp_path, text)
    assert named in str(caught.value)


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="not TOML"):
        settings_from(tmp_path, "port: 8080")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TSAVO_GATEWAY_PROT", "1"),
        ("TSAVO_PORT", "1"),
        ("TSAVO_GATEWAY_PORT", "many"),
        ("TSAVO_GATEWAY", "1"),
    ],
)
def test_unknown_or_wrong_variables_are_named(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        settings_from(tmp_path, **{variable: value})
    assert caught.value.field == variable


def test_the_home_and_the_url_are_not_settings(tmp_path: Path) -> None:
    assert settings_from(tmp_path, TSAVO_HOME="/x", TSAVO_URL="http://x", TSAVO_USER="me") == Settings()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_only_loopback_is_answered_on(tmp_path: Path, host: str) -> None:
    with pytest.raises(Refused) as caught:
        settings_from(tmp_path, f"[gateway]\nhost = '{host}'\n")
    assert caught.value.field == "gateway.host"
    assert "loopback" in caught.value.reason


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_every_loopback_address_will_do(tmp_path: Path, host: str) -> None:
    assert settings_from(tmp_path, f"[console]\nhost = '{host}'\n").console.host == host


ORIGINS = ("https://app.example.com", "http://localhost:3000", "http://[::1]:8080", "*")


def test_origins_are_a_list_in_the_file_and_have_commas_between_in_the_environment(tmp_path: Path) -> None:
    variable = {"TSAVO_GATEWAY_CORS_ORIGINS": " , ".join(ORIGINS)}
    assert settings_from(tmp_path, **variable).gateway.cors_origins == ORIGINS
    assert settings_from(tmp_path, TSAVO_GATEWAY_CORS_ORIGINS="").gateway.cors_origins == ()
    told = settings_from(tmp_path, f"[gateway]\ncors_origins = {list(ORIGINS)}\n")
    assert told.gateway.cors_origins == ORIGINS


@pytest.mark.parametrize(
    "origin",
    [
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/x",
        "https://APP.example.com",
        "https://*.example.com",
        "null",
        "https://",
        "https://a b",
        "https://app.example.com\n",
    ],
)
def test_what_no_browser_would_send_as_an_origin_is_named(tmp_path: Path, origin: str) -> None:
    with pytest.raises(Invalid) as caught:
        settings_from(tmp_path, f"[gateway]\ncors_origins = [{json.dumps(origin)}]\n")
    assert caught.value.field == "gateway.cors_origins"
    assert caught.value.found == origin
