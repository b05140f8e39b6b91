"""The client: everything that can be asked of a running Tsavo."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec
import pyarrow as pa

from tsavo.client.endpoint import Endpoint, fallback_steps
from tsavo.client.locating import find_console
from tsavo.client.sources import code_commit, read_source
from tsavo.client.tables import as_table, parquet_bytes, read_table
from tsavo.client.transport import Transport
from tsavo.vocabulary import Alert, Brief, Model, Page, Route, Version, VersionRef, check_name

__all__ = ["Client", "Registered", "connect"]

T = TypeVar("T")

_ARROW: Final = "application/vnd.apache.arrow.stream"
_PAGE: Final = 500


class Registered(msgspec.Struct, frozen=True):
    """The version, and whether it is new (the same content is never kept twice)."""

    version: Version
    new: bool


class _Status(msgspec.Struct):
    gateway: str


def connect(url: str | None = None, *, home: Path | str | None = None) -> Client:
    """Connect to a running Tsavo: at `url`, or what runs on `home` (default: ``TSAVO_URL``, ``TSAVO_HOME``).

    Raises
    ------
    Unavailable
        When nothing answers there.
    """
    return Client(find_console(url, home))


class Client:
    """A connection to one Tsavo. Use it as a context manager, or `close` it.

    Parameters
    ----------
    url
        The console's address.
    """

    def __init__(self, url: str) -> None:
        self._console = Transport(url)
        self._gateway_now: Transport | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._console.close()
        if self._gateway_now is not None:
            self._gateway_now.close()

    @property
    def url(self) -> str:
        """The console's address."""
        return self._console.base

    @property
    def _gateway(self) -> Transport:
        if self._gateway_now is None:
            status: _Status = self._console.get("/api/status", _Status)
            self._gateway_now = Transport(status.gateway)
        return self._gateway_now

    def register(
        self,
        source: Any,
        *,
        name: str,
        reference: Any = None,
        target: Any = None,
        trust: bool = False,
        brief: Brief | Mapping[str, str] | None = None,
    ) -> Registered:
        """Register a model file or a live model as the next version of the model `name`.

        Parameters
        ----------
        source
            A path, an ONNX model, or a fitted scikit-learn estimator.
        reference
            Rows the model is checked on and later compared with: a DataFrame, an Arrow table, or a path.
        target
            What really happened: the name of a reference column, or values in step with the reference's rows.
        trust
            You vouch for a source that can carry code (pickle, joblib, cloudpickle).
        brief
            Why the model exists: ``problem``, ``decision``, ``value``, ``assumptions``.

        Raises
        ------
        Untrusted, Disagreement, Invalid, Unreadable
            When it cannot be registered; nothing is kept then.
        """
        check_name(name, "name")
        given = read_source(source, trust=trust)
        files: dict[str, Any] = {"source": (given.name, given.content, "application/octet-stream")}
        target_name = None
        if reference is not None:
            table, target_name = _reference(reference, target)
            files["reference"] = ("reference.parquet", parquet_bytes(table), "application/octet-stream")
        told = {
            "source_name": given.name,
            "target": target_name,
            "trusted": trust,
            "code_commit": code_commit(),
            "brief": brief,
        }
        options = {
            "options": msgspec.json.encode(
                {key: value for key, value in told.items() if value is not None}
            ).decode()
        }
        registered: Registered = self._console.upload(
            f"/api/models/{name}/versions", files, options, Registered
        )
        return registered

    def deploy(
        self,
        version: str | VersionRef,
        endpoint: str | None = None,
        *,
        shadow: bool = False,
        fallback: Sequence[Any] | None = None,
        why: str = "",
    ) -> Endpoint:
        """Make a version (``"model@3"``, or ``"model"`` for its newest) the champion of an endpoint.

        Parameters
        ----------
        endpoint
            Its name; by default the model's.
        shadow
            Let the version score the same requests unseen, instead of making it the champion.
        fallback
            What takes over when the plug is pulled or the champion fails, in order: ``"model@1"`` names a version,
            any other value is a constant answer (a dict gives all outputs by name).
        """
        ref = self._ref(version)
        name = endpoint or ref.model
        body = {"version": str(ref), "shadow": shadow, "fallback": fallback_steps(fallback), "why": why}
        self._console.post(f"/api/endpoints/{check_name(name, 'endpoint')}/deploy", body, Route)
        return self.endpoint(name)

    def _ref(self, version: str | VersionRef) -> VersionRef:
        if isinstance(version, VersionRef):
            return version
        if "@" in version:
            return VersionRef.parse(version)
        return self.newest(version).ref

    def newest(self, model: str) -> Version:
        """The newest version of a model."""
        told = self._console.get(f"/api/models/{check_name(model, 'model')}", dict[str, Any], limit=1)
        versions = msgspec.convert(told["versions"]["items"], list[Version])
        if not versions:
            from tsavo.vocabulary import NotFound

            raise NotFound(
                "this model has no version yet", field="model", found=model, next_step="register one"
            )
        return versions[0]

    def endpoint(self, name: str) -> Endpoint:
        """A handle of one endpoint; it is not checked whether it exists."""
        return Endpoint(check_name(name, "endpoint"), self._console, self._gateway)

    def endpoints(self, search: str = "") -> Iterator[Route]:
        """All endpoints' present routes, page by page."""
        return self._pages("/api/endpoints", Page[Route], search=search or None)

    def models(self, search: str = "") -> Iterator[Model]:
        """All models, page by page."""
        return self._pages("/api/models", Page[Model], search=search or None)

    def model(self, name: str) -> dict[str, Any]:
        """One model with its first versions and its endpoints."""
        told: dict[str, Any] = self._console.get(f"/api/models/{check_name(name, 'model')}", dict[str, Any])
        return told

    def version(self, ref: str | VersionRef) -> Version:
        """One version."""
        parsed = VersionRef.parse(ref) if isinstance(ref, str) else ref
        version: Version = self._console.get(f"/api/models/{parsed.model}/versions/{parsed.number}", Version)
        return version

    def alerts(self, endpoint: str | None = None, state: str | None = None) -> Iterator[Alert]:
        """Alerts, newest first; `state` is ``open``, ``acknowledged`` or ``resolved``."""
        return self._pages("/api/alerts", Page[Alert], endpoint=endpoint, state=state)

    def ack(self, alert: int, *, note: str = "") -> Alert:
        """Acknowledge an alert."""
        after: Alert = self._console.post(f"/api/alerts/{alert}/ack", {"note": note}, Alert)
        return after

    def resolve(self, alert: int, *, note: str = "") -> Alert:
        """Resolve an alert."""
        after: Alert = self._console.post(f"/api/alerts/{alert}/resolve", {"note": note}, Alert)
        return after

    def sql(self, query: str, *, limit: int = 10_000) -> pa.Table:
        """Run one SELECT over decisions, outcomes and monitors; at most `limit` rows.

        Every endpoint is a view under its own name. A longer answer is cut; the table's schema metadata then has
        ``truncated``.
        """
        content, _ = self._console.stream("/api/sql", {"query": query, "limit": limit}, _ARROW)
        return pa.ipc.open_stream(io.BytesIO(content)).read_all()

    def decision(self, decision_id: str) -> dict[str, Any]:
        """One decision with the version that made it."""
        from urllib.parse import quote

        told: dict[str, Any] = self._console.get(
            f"/api/decisions/{quote(decision_id, safe='')}", dict[str, Any]
        )
        return told

    def status(self) -> dict[str, Any]:
        """What runs, and how much there is."""
        told: dict[str, Any] = self._console.get("/api/status", dict[str, Any])
        return told

    def details(self, endpoint: str) -> dict[str, Any]:
        """One endpoint with its champion, findings and open alerts."""
        told: dict[str, Any] = self._console.get(
            f"/api/endpoints/{check_name(endpoint, 'endpoint')}", dict[str, Any]
        )
        return told

    def _pages(self, path: str, kind: Any, **query: Any) -> Iterator[Any]:
        offset: int | None = 0
        while offset is not None:
            page = self._console.get(path, kind, offset=offset, limit=_PAGE, **query)
            yield from page.items
            offset = page.next_offset


def _reference(reference: Any, target: Any) -> tuple[pa.Table, str | None]:
    """The reference as a table that holds the target, and the target's name there."""
    table = read_table(Path(reference)) if isinstance(reference, str | Path) else as_table(reference)
    if target is None or isinstance(target, str):
        return table, target
    name = str(getattr(target, "name", None) or "target")
    values = target.tolist() if hasattr(target, "tolist") else list(target)
    if name in table.column_names or len(values) != table.num_rows:
        from tsavo.vocabulary import Invalid

        raise Invalid(
            "the target does not fit the reference",
            field="target",
            found=f"{len(values)} values called '{name}'",
            expected=f"{table.num_rows} values under a name that no column has, or the name of a column",
        )
    return table.append_column(name, pa.array(values)), name
