"""What the calls of the Open Inference Protocol's service answer.

Each takes a decoded request and what came with it, and returns a message or raises one of the vocabulary's errors.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy.typing as npt

from tsavo.endpoints import Answer, DataPlane, LoadedVersion
from tsavo.endpoints.open_tensors import datatype_of
from tsavo.endpoints.repository import (
    load_refusal,
    repository_index,
    unload_refusal,
    version_numbers,
)
from tsavo.grpc.messages import message
from tsavo.grpc.metadata import Asked
from tsavo.grpc.models import configuration, shape_of, statistics
from tsavo.grpc.tensors import read_inputs, write_contents, write_raw
from tsavo.journal import KeptReply
from tsavo.vocabulary import Invalid, NotFound, Output, decision_id

__all__ = ["Call", "Calls"]

_Respond: TypeAlias = Callable[[Any, Asked], Awaitable[Any]]
_InferResponse: Final = message("ModelInferResponse")
_NUMBER: Final = re.compile("[0-9]{1,18}")
# Who is idle is loaded by the next request.
_CAN_ANSWER: Final = frozenset({"ready", "idle"})

EXTENSIONS: Final = ("model_configuration", "model_repository(index)", "parameters", "statistics")
"""Extensions of the protocol that this door has, by their specifications' names."""


class Call(NamedTuple):
    """One call of the service: its name, the class of its request, and what responds."""

    name: str
    request: Any
    respond: _Respond


class Calls:
    """The calls of the service.

    Parameters
    ----------
    plane
        Scores.
    version
        Of Tsavo, for the server metadata.
    """

    def __init__(self, plane: DataPlane, version: str) -> None:
        self._plane = plane
        self._version = version
        self.ready = False

    def table(self) -> tuple[Call, ...]:
        """All calls, by the names that the protocol gives them."""
        named: dict[str, _Respond] = {
            "ModelConfig": self._model_config,
            "ModelInfer": self._model_infer,
            "ModelMetadata": self._model_metadata,
            "ModelReady": self._model_ready,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
            "ServerLive": self._server_live,
            "ServerMetadata": self._server_metadata,
            "ServerReady": self._server_ready,
        }
        return tuple(Call(name, message(f"{name}Request"), respond) for name, respond in named.items())

    async def _model_infer(self, request: Any, asked: Asked) -> Any:
        tensors, raw = read_inputs(request)
        wanted = _wanted(request)
        infer = partial(
            self._plane.infer,
            request.model_name,
            tensors,
            wanted=wanted,
            pin=self._pin(request.model_name, request.model_version),
            key=asked.split_key,
            origin=asked.origin,
        )
        take_down = asked.keep
        if take_down is None:
            return _response(await infer(), request, wanted, raw)
        written: list[Any] = []

        async def keep(answer: Answer) -> KeptReply:
            written.append(_response(answer, request, wanted, raw))
            return take_down(written[0].SerializeToString())

        await infer(reply=keep)
        return written[0]

    async def _model_metadata(self, request: Any, _asked: Asked) -> Any:
        version = self._plane.described(request.name, await self._version_of(request))
        numbers = version_numbers(self._plane.route(request.name))
        described = message("ModelMetadataResponse")(
            name=request.name,
            versions=[str(number) for number in numbers],
            platform=f"tsavo_{version.runtime}",
        )
        for kind, fields in (("inputs", version.signature.inputs), ("outputs", version.signature.outputs)):
            for field in fields:
                getattr(described, kind).add(
                    name=field.name, datatype=datatype_of(field.dtype), shape=shape_of(field)
                )
        return described

    async def _model_ready(self, request: Any, _asked: Asked) -> Any:
        try:
            version = await self._version_of(request)
        except NotFound:
            # Callers wait for a model in a loop over this call; what is not there is not ready.
            return message("ModelReadyResponse")(ready=False)
        return message("ModelReadyResponse")(ready=version.state.name in _CAN_ANSWER)

    async def _server_live(self, _request: Any, _asked: Asked) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def _server_ready(self, _request: Any, _asked: Asked) -> Any:
        return message("ServerReadyResponse")(ready=self.ready)

    async def _server_metadata(self, _request: Any, _asked: Asked) -> Any:
        return message("ServerMetadataResponse")(name="tsavo", version=self._version, extensions=EXTENSIONS)

    async def _model_config(self, request: Any, _asked: Asked) -> Any:
        version = self._plane.described(request.name, await self._version_of(request))
        return message("ModelConfigResponse")(config=configuration(request.name, version))

    async def _model_statistics(self, request: Any, _asked: Asked) -> Any:
        pin = self._pin(request.name, request.version) if request.name else None
        return await statistics(self._plane, request.name, pin)

    async def _repository_index(self, request: Any, _asked: Asked) -> Any:
        response = message("RepositoryIndexResponse")()
        for entry in await repository_index(self._plane, ready=request.ready):
            response.models.add(
                name=entry.name, version=entry.version, state=entry.state, reason=entry.reason
            )
        return response

    async def _load(self, request: Any, _asked: Asked) -> Any:
        raise load_refusal(self._plane.route(request.model_name))

    async def _unload(self, request: Any, _asked: Asked) -> Any:
        raise unload_refusal(self._plane.route(request.model_name))

    async def _version_of(self, request: Any) -> LoadedVersion:
        """The version that a request about a model means: the one it names, else the champion."""
        pin = self._pin(request.name, request.version)
        if pin is None:
            return await self._plane.champion(request.name)
        return await self._plane.version(request.name, pin)

    def _pin(self, endpoint: str, version: str) -> int | None:
        """The number of the version that a caller names, or ``None``."""
        if not version:
            return None
        if _NUMBER.fullmatch(version):
            return int(version)
        raise NotFound(
            f"endpoint '{endpoint}' has no such version",
            field="version",
            found=version,
            expected=f"one of {', '.join(map(str, version_numbers(self._plane.route(endpoint))))}, or none",
        )


def _wanted(request: Any) -> list[str] | None:
    """Names of the outputs that the caller asked for, or ``None`` for all of them."""
    if not request.outputs:
        return None
    for output in request.outputs:
        for parameter in ("classification", "shared_memory_region"):
            if parameter in output.parameters:
                raise Invalid(
                    "outputs come as they are, in the answer",
                    field=f"outputs.{output.name}.parameters.{parameter}",
                    expected="a request without it",
                )
    wanted = [output.name for output in request.outputs]
    if len(set(wanted)) != len(wanted):
        twice = next(name for at, name in enumerate(wanted) if name in wanted[:at])
        raise Invalid(
            "an output is asked for twice", field="outputs", found=twice, expected="each output once"
        )
    return wanted


def _chosen(answer: Answer, wanted: list[str] | None) -> Iterable[tuple[Output, npt.NDArray[Any]]]:
    """Outputs in the order in which they were asked for; a fallback need not have them all."""
    given = zip(answer.signature.outputs, answer.outputs, strict=True)
    if wanted is None:
        return given
    by_name = {output.name: (output, values) for output, values in given}
    return [by_name[name] for name in wanted if name in by_name]


def _response(answer: Answer, request: Any, wanted: list[str] | None, raw: bool) -> Any:
    response = _InferResponse(
        model_name=answer.endpoint,
        model_version=str(answer.version.number),
        id=request.id or answer.request,
    )
    parameters = response.parameters
    if answer.recorded:
        parameters["decision_id"].string_param = decision_id(answer.request, 0)
    parameters["version"].string_param = str(answer.version)
    parameters["role"].string_param = answer.role
    # A parameter is one text or number here, so several flags are one text.
    parameters["flags"].string_param = ",".join(answer.flags)
    if answer.row_flags:
        parameters["row_flags"].string_param = msgspec.json.encode(answer.row_flags).decode()
    if answer.row_versions:
        parameters["row_versions"].string_param = ",".join(map(str, answer.row_versions))
    if answer.row_roles:
        parameters["row_roles"].string_param = ",".join(answer.row_roles)
    for output, values in _chosen(answer, wanted):
        tensor = response.outputs.add(
            name=output.name, datatype=datatype_of(output.dtype), shape=values.shape
        )
        if raw:
            write_raw(response, values)
        else:
            write_contents(tensor, values, output.dtype)
    return response
