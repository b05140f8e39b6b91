"""The client: everything that can be asked of a running Tsavo."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal
from uuid import uuid4

import msgspec

from tsavo.client.bulk import BulkRegistration
from tsavo.client.endpoint import Endpoint, fallback_steps
from tsavo.client.family import Family
from tsavo.client.ledger import LedgerQuestions
from tsavo.client.locating import find_console
from tsavo.client.privacy import PrivacyQuestions
from tsavo.client.progress import told_meanwhile
from tsavo.client.querying import SqlQuestions
from tsavo.client.reference import reference_of
from tsavo.client.sources import Source, code_commit, hints_for, read_source
from tsavo.client.transport import Transport
from tsavo.client.versions import VersionQuestions
from tsavo.vocabulary import (
    Alert,
    AuditEntry,
    Brief,
    Model,
    Page,
    Route,
    Task,
    Unreadable,
    Untrusted,
    Version,
    VersionRef,
    check_name,
)

_PAGE: Final = 500


__all__ = ["Client", "Registered", "connect"]


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
    NotRunning
        When nothing runs on that home. Whether somebody answers at a URL, the first question shows.
    """
    return Client(find_console(url, home))


class Client(VersionQuestions, PrivacyQuestions, BulkRegistration, SqlQuestions, LedgerQuestions):
    """A connection to one Tsavo. Use it as a context manager, or `close` it.

    Parameters
    ----------
    url
        The console's address.
    """

    def __init__(self, url: str) -> None:
        super().__init__(Transport(url))
        self._gateway_now: Transport | None = None
        # Threads that ask at the same time share one.
        self._opening = threading.Lock()

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
        with self._opening:
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
        task: Task | None = None,
        classes: Sequence[Any] | None = None,
        columns: Sequence[str] | None = None,
        units: Mapping[str, str] | None = None,
        requirements: Sequence[str] = (),
        python: str | None = None,
        runtime: Literal["auto", "onnx", "python"] = "auto",
        tracking_uri: str | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Registered:
        """Register a model as the next version of the model `name`.

        Parameters
        ----------
        source
            A model file; an MLflow folder, or its address at a tracking server (``models:/NAME/1``,
            ``runs:/ID/model``); a folder with Python code; ``"module:object"``; or a live object: a fitted
            scikit-learn, XGBoost, LightGBM or CatBoost model, an ONNX model, and with `trust` any object that can be
            pickled.
        reference
            Rows the model is checked on and later compared with: a DataFrame, an Arrow table, or a path.
        target
            What really happened: the name of a reference column, or values in step with the reference's rows, which
            are then kept under their own name (that of a Series) or as ``target``.
        trust
            You vouch for a source that can carry code (pickle, joblib, cloudpickle). A live estimator is then written
            with cloudpickle instead of skops.
        brief
            Why the model exists: ``problem``, ``decision``, ``value``, ``assumptions``.
        task, classes, columns, units
            What the model is for, its class labels in the order of the probabilities, its input columns in order, and
            what they are measured in: only where the model does not say it itself.
        requirements, python
            The environment that the model needs, as lines of a requirements.txt and a version such as ``"3.12"``. It
            then runs in a Python worker with just these.
        runtime
            ``"onnx"`` refuses a model that cannot be compiled, ``"python"`` leaves it as it is.
        tracking_uri
            The tracking server of an MLflow address; by default what mlflow itself uses.
        progress
            Told in one line each what goes on.

        Raises
        ------
        Untrusted, Disagreement, Invalid, Unreadable
            When it cannot be registered; nothing is kept then.
        """
        check_name(name, "name")
        given = read_source(source, trust=trust, tracking_uri=tracking_uri)
        kept = None if reference is None else reference_of(reference, target)
        hints = hints_for(
            given,
            task=task,
            classes=classes,
            columns=columns,
            units=units,
            requirements=requirements,
            python=python,
        )
        ticket = uuid4().hex
        told = {
            "source_name": given.name,
            "target": None if kept is None else kept.target,
            "trusted": trust,
            "code_commit": code_commit(),
            "brief": brief,
            "hints": hints,
            "runtime": runtime,
            "ticket": ticket,
        }
        options = msgspec.json.encode({key: value for key, value in told.items() if value is not None})
        files = {"source": given} if kept is None else {"source": given, "reference": kept.source}
        try:
            with told_meanwhile(self.url, ticket, progress):
                return self._upload(f"/api/models/{name}/versions", files, options)
        except Untrusted as error:
            if not isinstance(source, str | Path) and not trust:
                error.next_step = (
                    "register it with trust=True if you vouch for it; it is then written as a pickle"
                )
            raise

    def _upload(self, path: str, files: Mapping[str, Source], options: bytes) -> Registered:
        with ExitStack() as opened:
            parts: dict[str, Any] = {}
            for part, file in files.items():
                if isinstance(file.content, Path):
                    content: Any = opened.enter_context(_open(file.content, part))
                else:
                    content = file.content
                parts[part] = (file.name, content, "application/octet-stream")
            fields = {"options": options.decode()}
            registered: Registered = self._console.upload(path, parts, fields, Registered)
        return registered

    def deploy(
        self,
        version: str | VersionRef | Version | Registered,
        endpoint: str | None = None,
        *,
        shadow: bool = False,
        share: float | None = None,
        by: str | None = None,
        fallback: Sequence[Any] | None = None,
        why: str = "",
    ) -> Endpoint:
        """Make a version (``"model@3"``, or ``"model"`` for its newest) the champion of an endpoint.

        Returns once every gateway worker answers with it, which takes a fraction of a second; after five seconds at
        the latest, with a warning (`NotFollowing`) that names the workers that do not.

        Parameters
        ----------
        endpoint
            Its name; by default the model's.
        shadow
            Let the version score the same requests unseen, instead of making it the champion.
        share
            Let the version answer this share of the requests (above 0, below 1) beside the champion; 0 ends it.
        by
            What decides who answers: ``"request"`` (each by itself), ``"key"`` (sent as ``X-Tsavo-Key``), ``"caller"``,
            or ``"column:NAME"``.
        fallback
            What takes over when the plug is pulled or the champion fails, in order: ``"model@1"`` names a version,
            ``{"rules": [...], "otherwise": answer}`` is a rule table, any other value a constant answer (a dict gives
            all outputs by name).

        Raises
        ------
        NotFound, Conflict, Invalid
            When there is no such version, or callers of the endpoint cannot feed it; nothing has changed then.
        """
        ref = self._ref(version)
        handle = self.endpoint(ref.model if endpoint is None else endpoint)
        body = {
            "version": str(ref),
            "shadow": shadow,
            "share": share,
            "by": by,
            "fallback": fallback_steps(fallback),
            "why": why,
        }
        self._console.post(f"/api/endpoints/{handle.name}/deploy", body, Route)
        return handle

    def _ref(self, version: str | VersionRef | Version | Registered) -> VersionRef:
        if isinstance(version, Registered):
            return version.version.ref
        if isinstance(version, Version):
            return version.ref
        if isinstance(version, VersionRef):
            return version
        return VersionRef.parse(version) if "@" in version else self.newest(version).ref

    def endpoint(self, name: str) -> Endpoint:
        """A handle of one endpoint; it is not checked whether it exists."""
        return Endpoint(check_name(name, "endpoint"), self._console, self._gateway)

    def family(self, name: str) -> Family:
        """A handle of one family; it is not checked whether it exists."""
        known = check_name(name, "endpoint")
        return Family(known, self._console, self._gateway, lambda model: self.newest(model).ref)

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

    def audit(
        self,
        subject: str | None = None,
        *,
        who: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[AuditEntry]:
        """The audit trail, newest first, page by page: who changed what, when and why.

        Parameters
        ----------
        subject
            Such as ``"endpoint:credit"``, ``"model:credit"`` or ``"version:credit@3"``.
        action
            ``"endpoint.deploy"``, or ``"endpoint"`` for all that begin so.
        since, until
            Changes of the time in [`since`, `until`).
        """
        asked = {"subject": subject, "by": who, "action": action}
        moments = {"since": since, "until": until}
        asked |= {name: None if moment is None else moment.isoformat() for name, moment in moments.items()}
        return self._pages("/api/audit", Page[AuditEntry], **asked)

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


def _open(path: Path, field: str) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise Unreadable(
            f"the file cannot be read: {error.strerror}", field=field, found=str(path)
        ) from error
