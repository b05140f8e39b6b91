"""Models, their versions, and registering a new one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body

from tsavo.actions import Registered, Registration, register
from tsavo.console.crowding import REGISTRATIONS
from tsavo.console.declaring import act, look, replace
from tsavo.console.parts import ConsoleParts
from tsavo.console.progress import PROGRESS
from tsavo.console.views import ModelView, VersionView, model_view, version_view
from tsavo.governance import Principal, Right, audit
from tsavo.registry import get_model, list_models, update_brief
from tsavo.vocabulary import Brief, Hints, Invalid, Model, Page, check_name

__all__ = ["MODEL_ROUTES", "saved_part"]

_MOST_BYTES: Final = 1024**3


class RegisterOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes with the files of a registration."""

    source_name: str = "model"
    target: str | None = None
    trusted: bool = False
    code_commit: str | None = None
    brief: Brief | None = None
    hints: Hints = msgspec.field(default_factory=Hints)
    runtime: Literal["auto", "onnx", "python"] = "auto"
    ticket: Annotated[str, msgspec.Meta(max_length=100)] | None = None


@look("/api/models", summary="Models")
def models(parts: ConsoleParts, search: str = "", offset: int = 0, limit: int = 50) -> Page[Model]:
    """Models in order of name."""
    with parts.plane.database.read() as connection:
        return list_models(connection, search=search, offset=offset, limit=limit)


@look("/api/models/{model:str}", summary="One model")
def show_model(parts: ConsoleParts, model: str, offset: int = 0, limit: int = 20) -> ModelView:
    """A model with its versions, newest first, and the endpoints that it is the champion of."""
    return model_view(parts, model, offset=offset, limit=limit)


@look("/api/models/{model:str}/versions/{number:int}", summary="One version")
def show_version(
    parts: ConsoleParts, model: str, number: int, offset: int = 0, limit: int = 10
) -> VersionView:
    """A version with its signature, how it runs, checks, lineage and a page of its verifications."""
    return version_view(parts, model, number, offset=offset, limit=limit)


@replace("/api/models/{model:str}/brief", Right.REGISTER, summary="Replace a model's brief")
def replace_brief(parts: ConsoleParts, who: Principal, model: str, data: Brief) -> Model:
    """Say why the model exists."""
    with parts.plane.database.begin() as connection:
        before = get_model(connection, model)
        update_brief(connection, model, data)
        audit(
            connection,
            time=parts.plane.clock.now(),
            who=who.name,
            action="model.brief",
            subject=f"model:{model}",
            before=before.brief,
            after=data,
        )
        return msgspec.structs.replace(before, brief=data)


@act(
    "/api/models/{model:str}/versions",
    Right.REGISTER,
    summary="Register a version",
    request_max_body_size=_MOST_BYTES,
)
async def register_version(
    parts: ConsoleParts,
    who: Principal,
    model: str,
    data: Annotated[dict[str, Any], Body(media_type=RequestEncodingType.MULTI_PART)],
) -> Registered:
    """Check, compile and keep a model file (`source`), with reference rows (`reference`) and `options` as JSON."""
    check_name(model, "model")
    options = _options(data.get("options"))
    with PROGRESS.of(options.ticket) as say:
        say("waiting for a place")
        return await REGISTRATIONS.run(lambda: _register(parts, who, model, data, options, say))


def _register(
    parts: ConsoleParts,
    who: Principal,
    model: str,
    data: dict[str, Any],
    options: RegisterOptions,
    say: Callable[[str], None],
) -> Registered:
    with tempfile.TemporaryDirectory(dir=parts.plane.work, prefix="upload-") as folder:
        source = saved_part(data.get("source"), Path(folder) / "source")
        if source is None:
            raise Invalid("there is no model file", field="source", expected="a file part called 'source'")
        order = Registration(
            model=model,
            source=source,
            source_name=options.source_name[:200],
            reference=saved_part(data.get("reference"), Path(folder) / "reference"),
            target=options.target,
            trusted=options.trusted,
            code_commit=None if options.code_commit is None else options.code_commit[:100],
            brief=options.brief,
            hints=options.hints,
            runtime=options.runtime,
        )
        return register(parts.plane, who, order, say)


@look("/api/registrations/{ticket:str}", summary="How a registration goes")
def registration_progress(ticket: str) -> list[str]:
    """What was said so far under the `ticket` that a registration's options named; empty when it is over."""
    return PROGRESS.lines(ticket)


def _options(text: Any) -> RegisterOptions:
    if text is None:
        return RegisterOptions()
    try:
        # A form parser may already have read the JSON.
        if isinstance(text, dict):
            return msgspec.convert(text, RegisterOptions)
        return msgspec.json.decode(text, type=RegisterOptions)
    except (msgspec.MsgspecError, TypeError) as error:
        raise Invalid(f"the options are wrong: {error}", field="options", expected="JSON") from error


def saved_part(part: Any, path: Path) -> Path | None:
    """The uploaded file under a name of ours; what the caller calls it never reaches the file system."""
    if part is None:
        return None
    if not isinstance(part, UploadFile):
        raise Invalid("not a file", field=path.name, expected="a file part")
    part.file.seek(0)
    with path.open("wb") as out:
        shutil.copyfileobj(part.file, out)
    return path


MODEL_ROUTES = [models, show_model, show_version, replace_brief, register_version, registration_progress]
