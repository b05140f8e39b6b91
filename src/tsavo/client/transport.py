"""HTTP as the client uses it: JSON in and out, and errors that come back as what they were."""

from __future__ import annotations

import getpass
import io
import ipaddress
import os
import ssl
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from tsavo import vocabulary
from tsavo.client.locating import nothing_runs
from tsavo.vocabulary import Invalid, TsavoError, Unavailable

__all__ = ["NotFollowing", "Transport", "rebuilt"]

T = TypeVar("T")

_CONNECT_SECONDS: Final = 5.0
# Registering and SQL take their time; the server has limits of its own.
_READ_SECONDS: Final = 330.0
# Below the five seconds after which the servers close an idle connection, so that no request meets a closing one.
_IDLE_SECONDS: Final = 2.0


# Set on the answer to a change that some gateway worker does not follow yet.
_NOT_FOLLOWING: Final = "X-Tsavo-Not-Following"


class NotFollowing(UserWarning):
    """A change was made, and some gateway worker did not follow it within five seconds."""


def _kinds() -> dict[str, type[TsavoError]]:
    known = [getattr(vocabulary, name) for name in vocabulary.__all__]
    return {kind.kind: kind for kind in known if isinstance(kind, type) and issubclass(kind, TsavoError)}


_KINDS: Final = _kinds()


class Transport:
    """One connection pool to one server.

    Parameters
    ----------
    base
        The server's URL.

    Raises
    ------
    Invalid
        When `base` is no URL of HTTP.
    """

    def __init__(self, base: str) -> None:
        scheme, host = _parts(base)
        self.base = base
        self._http = httpx.Client(
            base_url=base,
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(keepalive_expiry=_IDLE_SECONDS),
            headers={"X-Tsavo-User": _user()},
            # A proxy of the environment cannot reach this machine's own loopback.
            trust_env=not _is_loopback(host),
            # Reading the certificate store takes longer than many a command; without it nothing is trusted.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if scheme == "http" else True,
        )

    def __enter__(self) -> Transport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, kind: type[T] | Any = Any, **query: Any) -> Any:
        """GET `path`; the answer as `kind`. Query values that are ``None`` are left out."""
        return self._decode(self._send("GET", path, params=_present(query)), kind)

    def post(
        self,
        path: str,
        body: Any = None,
        kind: type[T] | Any = Any,
        *,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> Any:
        """POST `body` as JSON; the answer as `kind`."""
        sent: dict[str, str | bytes] = {"Content-Type": "application/json", **(headers or {})}
        return self._decode(self._send("POST", path, content=msgspec.json.encode(body), headers=sent), kind)

    def upload(self, path: str, files: dict[str, Any], fields: dict[str, str], kind: type[T] | Any) -> Any:
        """POST files and fields (multipart); the answer as `kind`."""
        return self._decode(self._send("POST", path, files=files, data=fields), kind)

    @contextmanager
    def receive(self, path: str, body: Any, accept: str = "*/*") -> Iterator[tuple[IO[bytes], httpx.Headers]]:
        """POST `body` as JSON and read the answer as it comes, with its headers."""
        headers = {"Content-Type": "application/json", "Accept": accept}
        content = msgspec.json.encode(body)
        with (
            self._translated(path),
            self._http.stream("POST", path, content=content, headers=headers) as answer,
        ):
            if not answer.is_success:
                answer.read()
                raise _error(answer)
            yield io.BufferedReader(_Incoming(answer.iter_bytes())), answer.headers

    def download(self, path: str, file: IO[bytes]) -> None:
        """GET `path` into a file, piece by piece."""
        with self._translated(path), self._http.stream("GET", path) as answer:
            if not answer.is_success:
                answer.read()
                raise _error(answer)
            for piece in answer.iter_bytes():
                file.write(piece)

    def upload_lines(
        self, path: str, files: dict[str, Any], fields: dict[str, str], kind: type[T] | Any
    ) -> Iterator[Any]:
        """POST files and fields (multipart); each line of the answer as `kind`, as it comes."""
        # One part at least is a file, or the form would be sent in another way.
        parts = {**{name: (None, text) for name, text in fields.items()}, **files}
        with self._translated(path), self._http.stream("POST", path, files=parts) as answer:
            if not answer.is_success:
                answer.read()
                raise _error(answer)
            for line in answer.iter_lines():
                yield self._decoded(line.encode(), kind)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._translated(path):
            answer = self._http.request(method, path, **options)
        if not answer.is_success:
            raise _error(answer)
        if late := answer.headers.get(_NOT_FOLLOWING):
            told = f"the change is made, and some gateway workers may answer as before for a while: {late}"
            warnings.warn(told, NotFollowing, stacklevel=4)
        return answer

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        """Errors of the connection in words of ours."""
        try:
            yield
        except httpx.ConnectError as error:
            raise nothing_runs(self.base) from error
        except httpx.TimeoutException as error:
            raise Unavailable(
                "the server did not answer in time",
                field="url",
                found=f"{self.base}{path}",
                next_step="try again, or see 'tsavo doctor'",
            ) from error
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the connection failed: {error}",
                field="url",
                found=f"{self.base}{path}",
                next_step="try again, or see 'tsavo doctor'",
            ) from error

    def _decode(self, answer: httpx.Response, kind: Any) -> Any:
        return self._decoded(answer.content, kind)

    def _decoded(self, content: bytes, kind: Any) -> Any:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            raise Unavailable(
                "the server's answer cannot be read",
                field="url",
                found=f"{self.base}: {error}",
                expected="a Tsavo server of the same version",
                next_step="check the URL, and that client and server have the same version",
            ) from error


class _Incoming(io.RawIOBase):
    """Pieces as they come from the network, as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _error(answer: httpx.Response) -> TsavoError:
    try:
        told = msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        told = {}
    kind = _KINDS.get(str(told.get("kind")))
    if kind is None:
        words = told.get("detail") or answer.reason_phrase
        passing = answer.status_code in (429, 502, 503, 504)
        return (Unavailable if passing else TsavoError)(
            f"the server said {answer.status_code}: {words}",
            field="url",
            found=str(answer.url),
            expected="a Tsavo console",
            next_step="try again, and check the URL" if passing else "check the URL",
        )
    return rebuilt(told, answer.reason_phrase)


def rebuilt(told: dict[str, Any], reason: str = "") -> TsavoError:
    """The error that a problem document tells of."""
    error = _KINDS.get(str(told.get("kind")), TsavoError)(
        str(told.get("reason") or told.get("detail") or reason),
        field=told.get("field"),
        expected=told.get("expected"),
        next_step=told.get("next_step"),
        retry_after=told.get("retry_after"),
        details=told.get("details"),
    )
    if "found" in told:
        error.found = _AsWritten(told["found"])
    return error


class _AsWritten(str):
    """A value that the server has written out already; shown as it came."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _parts(base: str) -> tuple[str, str]:
    try:
        parts = urlsplit(base)
        known = (
            parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        known = None
    if not known:
        raise Invalid(
            "not a URL",
            field="url",
            found=base,
            expected="the console's address, as in http://127.0.0.1:8090",
        )
    return parts.scheme, parts.hostname or ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _present(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _user() -> str:
    name = os.environ.get("TSAVO_USER") or _login()
    return "".join(letter for letter in name if letter.isascii() and letter.isprintable())[:200] or "unknown"


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
