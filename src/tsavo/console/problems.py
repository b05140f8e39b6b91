"""Errors as problem documents (RFC 9457) for programs, and as a page for people."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.response import Template

from tsavo.vocabulary import (
    BadInput,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Overloaded,
    Refused,
    TooLarge,
    TsavoError,
    Unavailable,
    Unreadable,
)

__all__ = ["answer_error", "problem_bytes", "problem_of"]

_LOG: Final = logging.getLogger("tsavo.console")
# The first class that fits decides, so the special ones come first.
_STATUS: Final[tuple[tuple[type[TsavoError], int, str], ...]] = (
    (Unreadable, 400, "Bad request"),
    (TooLarge, 413, "Too large"),
    (BadInput, 422, "Invalid"),
    (NotFound, 404, "Not found"),
    (Conflict, 409, "Conflict"),
    (Forbidden, 403, "Forbidden"),
    (Refused, 422, "Refused"),
    (Overloaded, 429, "Too many requests"),
    (Unavailable, 503, "Unavailable"),
    (TsavoError, 500, "Failure"),
)


def _status(error: TsavoError) -> tuple[int, str]:
    return next((status, title) for kind, status, title in _STATUS if isinstance(error, kind))


def problem_bytes(error: TsavoError) -> tuple[int, bytes]:
    """Status and body (``application/problem+json``)."""
    told = problem_of(error)
    return told["status"], msgspec.json.encode(told, enc_hook=str)


def problem_of(error: TsavoError) -> dict[str, Any]:
    """The problem document."""
    status, title = _status(error)
    return {"type": f"tsavo:{error.kind}", "title": title, "status": status} | error.as_dict()


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The answer for any exception: words for the caller, the trace for the log."""
    told = _as_ours(request, error)
    status, body = problem_bytes(told)
    if request.url.path.startswith("/api/"):
        headers = {"Retry-After": str(max(1, round(told.retry_after)))} if told.retry_after else {}
        return Response(body, status_code=status, media_type="application/problem+json", headers=headers)
    return Template("error.html", context={"error": told, "title": _status(told)[1]}, status_code=status)


def _as_ours(request: Request[Any, Any, Any], error: Exception) -> TsavoError:
    if isinstance(error, TsavoError):
        return error
    if isinstance(error, ValidationException):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _from_framework(request, error)
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return TsavoError(
        "Tsavo failed on this request", next_step="see console.log in the home, and run 'tsavo doctor'"
    )


def _invalid(error: ValidationException) -> Invalid:
    extra: Any = error.extra
    first = extra[0] if isinstance(extra, list) and extra else {}
    key = str(first.get("key") or "request") if isinstance(first, dict) else "request"
    said = str(first.get("message") or error.detail) if isinstance(first, dict) else error.detail
    return Invalid(f"the request is not valid: {said}", field=key, next_step="see /api/openapi.json")


def _from_framework(request: Request[Any, Any, Any], error: HTTPException) -> TsavoError:
    found = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return NotFound("there is nothing at this address", field="path", found=found, next_step="start at /")
    if error.status_code == 413:
        return TooLarge("the request is too large", field="body", next_step="send less at once")
    if error.status_code == 405:
        return Invalid("this address does not take this method", field="method", found=found)
    if error.status_code < 500:
        return Unreadable(f"the request cannot be read: {error.detail}", field="body", found=found)
    return TsavoError(str(error.detail), found=found)
