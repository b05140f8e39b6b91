"""Settings: ``tsavo.toml`` in the home, over it ``TSAVO_<TABLE>_<KEY>``, over that the command line.

Unknown keys are refused, in the file and in the environment: a setting with a typing error must not be silent.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tsavo.app.journal_settings import JournalSettings
from tsavo.app.keeper_settings import KeeperSettings, LakeSettings
from tsavo.storage import Home
from tsavo.vocabulary import Invalid, Refused, Unreadable

__all__ = [
    "ConsoleSettings",
    "EnvironmentSettings",
    "GatewaySettings",
    "JournalSettings",
    "KeeperSettings",
    "LakeSettings",
    "LedgerSettings",
    "PrivacySettings",
    "Settings",
    "StorageSettings",
    "WorkerSettings",
    "load_settings",
    "read_effective",
]

_MIB: Final = 1024 * 1024
_SCALARS: Final = (str, int, float, bool)
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
# These name the home and the server; they are not settings of a home.
_NOT_SETTINGS: Final = frozenset({"TSAVO_HOME", "TSAVO_URL", "TSAVO_USER", "TSAVO_TRACE"})


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data plane.

    Attributes
    ----------
    host
        Address to listen on; loopback only for now.
    port
        0 takes a free one.
    grpc_port
        Port of the gRPC door; 0 takes a free one, -1 leaves it off.
    workers
        Gateway processes; they share the port, and each has a journal of its own.
    max_body_mib
        Larger requests are refused.
    max_rows
        Rows that one request may have.
    memory_mib
        Memory that one gateway process may use; compiled versions that nobody asks for are let go when it is full.
    requests
        Requests that one gateway process works on at the same time; more are told to come again.
    bodies_mib
        Memory that the bodies of those requests may take together; one largest body fits in any case.
    connections
        Connections that one gateway process keeps open.
    body_seconds
        How long a client may take to send a request.
    follow_seconds
        How often a worker asks for newer routes; a change is effective within this time.
    idempotency_minutes
        How long an answer to a request with an ``Idempotency-Key`` is kept and given again.
    idempotency_mib
        Disk that one gateway process may use for such answers; beyond it the oldest go before their time.
    cors_origins
        Web pages that may score, by their origins (``https://app.example.com``); ``*`` for all, empty for none.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int = 8081
    workers: int = 1
    max_body_mib: int = 32
    max_rows: int = 100_000
    memory_mib: int = 2048
    requests: int = 1_024
    bodies_mib: int = 256
    connections: int = 10_000
    body_seconds: float = 60.0
    follow_seconds: float = 0.2
    idempotency_minutes: float = 10.0
    idempotency_mib: int = 256
    cors_origins: tuple[str, ...] = ()


class ConsoleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The control plane and its pages.

    Attributes
    ----------
    host
        Address to listen on; loopback only for now.
    port
        0 takes a free one.
    """

    host: str = "127.0.0.1"
    port: int = 8090


class WorkerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Worker processes for models that are not compiled; each gateway process has its own.

    Attributes
    ----------
    seconds
        How long a request to such a model may take, waiting included.
    start_seconds
        How long a worker process may take to start, and a model to load.
    idle_minutes
        After so long without a request a worker process stops.
    memory_mib
        Memory that one worker process may use.
    models
        Versions in one worker process.
    processes
        Worker processes at the same time.
    waiting
        Requests that may wait for one worker process.
    """

    seconds: float = 10.0
    start_seconds: float = 60.0
    idle_minutes: float = 10.0
    memory_mib: int = 2048
    models: int = 16
    processes: int = 8
    waiting: int = 64


class StorageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where things are kept; empty means in the home.

    Attributes
    ----------
    registry
        ``postgresql+psycopg://…`` for PostgreSQL (extra ``postgresql``).
    artifacts
        URL of an object store (``s3://…``, ``gs://…``, ``az://…``).
    exports
        Folder that scheduled exports are written to.
    """

    registry: str = ""
    artifacts: str = ""
    exports: str = ""


class EnvironmentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Environments of models that need other libraries than Tsavo's own.

    Attributes
    ----------
    folder
        Where they are built; empty means in the home.
    wheels
        A folder of wheels to install from, and from nowhere else; empty means the machine's package registry.
    """

    folder: str = ""
    wheels: str = ""


class LedgerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log by which tampering is found.

    Attributes
    ----------
    sign_seconds
        How often what was logged is signed, and the head anchored.
    anchor
        Where signed heads are kept outside the home: a file, ``git:`` and a work tree, or the URL of an object store;
        empty for nowhere.
    """

    sign_seconds: float = 60.0
    anchor: str = ""


class PrivacySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Personal data.

    Attributes
    ----------
    key_file
        The master key, which wraps the keys of data subjects; empty for ``keys/master.key`` in the home.
    """

    key_file: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a home."""

    gateway: GatewaySettings = GatewaySettings()
    console: ConsoleSettings = ConsoleSettings()
    journal: JournalSettings = JournalSettings()
    keeper: KeeperSettings = KeeperSettings()
    lake: LakeSettings = LakeSettings()
    worker: WorkerSettings = WorkerSettings()
    storage: StorageSettings = StorageSettings()
    environments: EnvironmentSettings = EnvironmentSettings()
    ledger: LedgerSettings = LedgerSettings()
    privacy: PrivacySettings = PrivacySettings()


def load_settings(
    home: Home,
    *,
    environment: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Read and check the settings of `home`.

    Parameters
    ----------
    overrides
        Table -> key -> value from the command line; ``None`` values are not set.

    Raises
    ------
    Unreadable
        When ``tsavo.toml`` is not TOML.
    Invalid
        For an unknown key or a value that does not fit, naming it.
    Refused
        For an address that is not loopback.
    """
    tables = _from_file(home)
    for (table, key), (variable, text) in _from_environment(environment).items():
        tables.setdefault(table, {})[key] = _checked_variable(table, key, variable, text)
    for table, values in (overrides or {}).items():
        tables.setdefault(table, {}).update(
            {key: value for key, value in values.items() if value is not None}
        )
    try:
        settings = msgspec.convert(tables, Settings)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        raise Invalid(
            f"a setting is wrong: {reason}",
            field=path.strip("`$.") or "tsavo.toml",
            expected="a setting from docs/settings.md",
            next_step=f"mend it in {home.settings} or in the TSAVO_* variables",
        ) from error
    return _checked(settings)


def read_effective(home: Home) -> Settings:
    """The settings that the running supervisor wrote down for its processes."""
    return msgspec.json.decode((home.run / "settings.json").read_bytes(), type=Settings)


def _from_file(home: Home) -> dict[str, dict[str, Any]]:
    try:
        text = home.settings.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        # A home that is no folder is refused, with better words, by whoever creates it.
        return {}
    except OSError as error:
        raise Unreadable(
            "the settings cannot be read", field=str(home.settings), found=error.strerror
        ) from error
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"the settings are not TOML: {error}", field=str(home.settings)) from error


def _from_environment(environment: Mapping[str, str]) -> dict[tuple[str, str], tuple[str, str]]:
    found = {}
    tables = {field.name for field in msgspec.structs.fields(Settings)}
    for variable, text in environment.items():
        if not variable.startswith("TSAVO_") or variable in _NOT_SETTINGS:
            continue
        table, _, key = variable.removeprefix("TSAVO_").lower().partition("_")
        if table not in tables or not key:
            raise Invalid(
                "there is no such setting",
                field=variable,
                expected=f"TSAVO_<TABLE>_<KEY> with a table of {sorted(tables)}",
                next_step="correct or unset the variable",
            )
        found[table, key] = (variable, text)
    return found


def _checked_variable(table: str, key: str, variable: str, text: str) -> Any:
    kinds = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    known = {field.name: field.type for field in msgspec.structs.fields(kinds[table])}
    if key not in known:
        raise Invalid(
            "there is no such setting",
            field=variable,
            expected=f"one of {sorted(f'TSAVO_{table.upper()}_{name.upper()}' for name in known)}",
            next_step="correct or unset the variable",
        )
    # A list is written with commas between.
    value: Any = (
        text if known[key] in _SCALARS else [part.strip() for part in text.split(",") if part.strip()]
    )
    try:
        return msgspec.convert(value, known[key], strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(
            "a setting is wrong", field=variable, found=text, expected=known[key].__name__
        ) from error


def _checked(settings: Settings) -> Settings:
    for table, host in (("gateway", settings.gateway.host), ("console", settings.console.host)):
        if not _is_loopback(host):
            raise Refused(
                "Tsavo answers on loopback only until it has accounts",
                field=f"{table}.host",
                found=host,
                expected="127.0.0.1 or ::1",
                next_step="use a reverse proxy with authentication on this machine, or an SSH tunnel",
            )
    for name, port in (("gateway.port", settings.gateway.port), ("console.port", settings.console.port)):
        _within(name, port, 0, 65_535)
    _within("gateway.grpc_port", settings.gateway.grpc_port, -1, 65_535)
    _within("gateway.workers", settings.gateway.workers, 1, 64)
    _within("gateway.max_body_mib", settings.gateway.max_body_mib, 1, 1024)
    _within("gateway.max_rows", settings.gateway.max_rows, 1, 10_000_000)
    _within("gateway.memory_mib", settings.gateway.memory_mib, 320, 1 << 20)
    _within("gateway.requests", settings.gateway.requests, 1, 1_000_000)
    _within("gateway.bodies_mib", settings.gateway.bodies_mib, 1, 1 << 20)
    _within("gateway.connections", settings.gateway.connections, 1, 1_000_000)
    _within("gateway.body_seconds", settings.gateway.body_seconds, 0.1, 86_400)
    _within("gateway.follow_seconds", settings.gateway.follow_seconds, 0.02, 0.8)
    _within("gateway.idempotency_minutes", settings.gateway.idempotency_minutes, 0.01, 10_080)
    _within("gateway.idempotency_mib", settings.gateway.idempotency_mib, 1, 1 << 20)
    for origin in settings.gateway.cors_origins:
        _check_origin(origin)
    settings.journal.check()
    _within("ledger.sign_seconds", settings.ledger.sign_seconds, 0.05, 86_400)
    settings.keeper.check()
    settings.lake.check()
    worker = settings.worker
    _within("worker.seconds", worker.seconds, 0.05, 3600)
    _within("worker.start_seconds", worker.start_seconds, 1, 3600)
    _within("worker.idle_minutes", worker.idle_minutes, 0.01, 100_000)
    _within("worker.memory_mib", worker.memory_mib, 128, 1_048_576)
    _within("worker.models", worker.models, 1, 1000)
    _within("worker.processes", worker.processes, 1, 1000)
    _within("worker.waiting", worker.waiting, 1, 100_000)
    return settings


def _check_origin(origin: str) -> None:
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise Invalid(
            "not an origin",
            field="gateway.cors_origins",
            found=origin,
            expected="scheme and host in lower case, and the port where it is not the scheme's own, as in "
            "https://app.example.com: no path, no slash at the end; or *",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise Invalid("a setting is out of range", field=name, found=value, expected=f"{low} to {high}")
