"""The protocol's messages, as classes made from a table of names, types and numbers.

They live in a descriptor pool of their own: clients such as tritonclient and kserve register messages of the same
names in protobuf's shared pool, and a process may hold them and these at once.

Specification: Open Inference Protocol, "gRPC" (https://github.com/kserve/open-inference-protocol), and Triton's
extensions of it for the repository's index, configuration and statistics. What the table leaves out is skipped by
whoever reads it, as protobuf has it.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

__all__ = ["PACKAGE", "SERVICE", "message"]

PACKAGE: Final = "inference"
SERVICE: Final = "inference.GRPCInferenceService"

# Message -> its fields as "name:type=number". A star repeats the type; "parameters" is a map from text to
# InferParameter; a question mark puts a field into the message's one choice.
_TABLE: Final[dict[str, str]] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:bool=1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:bool=1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:string=1 version:string=2 extensions:string*=3",
    "ModelReadyRequest": "name:string=1 version:string=2",
    "ModelReadyResponse": "ready:bool=1",
    "ModelMetadataRequest": "name:string=1 version:string=2",
    "ModelMetadataResponse": "name:string=1 versions:string*=2 platform:string=3 "
    "inputs:ModelMetadataResponse.TensorMetadata*=4 outputs:ModelMetadataResponse.TensorMetadata*=5",
    "ModelMetadataResponse.TensorMetadata": "name:string=1 datatype:string=2 shape:int64*=3",
    "InferParameter": "bool_param:bool?=1 int64_param:int64?=2 string_param:string?=3 double_param:double?=4 "
    "uint64_param:uint64?=5",
    "InferTensorContents": "bool_contents:bool*=1 int_contents:int32*=2 int64_contents:int64*=3 "
    "uint_contents:uint32*=4 uint64_contents:uint64*=5 fp32_contents:float*=6 fp64_contents:double*=7 "
    "bytes_contents:bytes*=8",
    "ModelInferRequest": "model_name:string=1 model_version:string=2 id:string=3 parameters:parameters=4 "
    "inputs:ModelInferRequest.InferInputTensor*=5 outputs:ModelInferRequest.InferRequestedOutputTensor*=6 "
    "raw_input_contents:bytes*=7",
    "ModelInferRequest.InferInputTensor": "name:string=1 datatype:string=2 shape:int64*=3 "
    "parameters:parameters=4 contents:InferTensorContents=5",
    "ModelInferRequest.InferRequestedOutputTensor": "name:string=1 parameters:parameters=2",
    "ModelInferResponse": "model_name:string=1 model_version:string=2 id:string=3 parameters:parameters=4 "
    "outputs:ModelInferResponse.InferOutputTensor*=5 raw_output_contents:bytes*=6",
    "ModelInferResponse.InferOutputTensor": "name:string=1 datatype:string=2 shape:int64*=3 "
    "parameters:parameters=4 contents:InferTensorContents=5",
    "ModelConfigRequest": "name:string=1 version:string=2",
    "ModelConfigResponse": "config:ModelConfig=1",
    "ModelInput": "name:string=1 data_type:int32=2 dims:int64*=4",
    "ModelOutput": "name:string=1 data_type:int32=2 dims:int64*=3",
    "ModelConfig": "name:string=1 platform:string=2 max_batch_size:int32=4 input:ModelInput*=5 "
    "output:ModelOutput*=6 backend:string=17",
    "ModelStatisticsRequest": "name:string=1 version:string=2",
    "StatisticDuration": "count:uint64=1 ns:uint64=2",
    "InferStatistics": "success:StatisticDuration=1 fail:StatisticDuration=2 queue:StatisticDuration=3 "
    "compute_input:StatisticDuration=4 compute_infer:StatisticDuration=5 compute_output:StatisticDuration=6",
    "ModelStatistics": "name:string=1 version:string=2 last_inference:uint64=3 inference_count:uint64=4 "
    "execution_count:uint64=5 inference_stats:InferStatistics=6",
    "ModelStatisticsResponse": "model_stats:ModelStatistics*=1",
    "RepositoryIndexRequest": "repository_name:string=1 ready:bool=2",
    "RepositoryIndexResponse": "models:RepositoryIndexResponse.ModelIndex*=1",
    "RepositoryIndexResponse.ModelIndex": "name:string=1 version:string=2 state:string=3 reason:string=4",
    "RepositoryModelLoadRequest": "repository_name:string=1 model_name:string=2",
    "RepositoryModelUnloadRequest": "repository_name:string=1 model_name:string=2",
}

_FieldProto = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bool": _FieldProto.TYPE_BOOL,
    "bytes": _FieldProto.TYPE_BYTES,
    "double": _FieldProto.TYPE_DOUBLE,
    "float": _FieldProto.TYPE_FLOAT,
    "int32": _FieldProto.TYPE_INT32,
    "int64": _FieldProto.TYPE_INT64,
    "string": _FieldProto.TYPE_STRING,
    "uint32": _FieldProto.TYPE_UINT32,
    "uint64": _FieldProto.TYPE_UINT64,
}


def _build() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="tsavo/inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, descriptor_pb2.DescriptorProto] = {}
    for path, fields in _TABLE.items():
        outer, _, name = path.rpartition(".")
        home = made[outer].nested_type if outer else file.message_type
        made[path] = home.add(name=name)
        for field in fields.split():
            _add_field(made[path], path, field)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_field(owner: descriptor_pb2.DescriptorProto, path: str, text: str) -> None:
    name, _, rest = text.partition(":")
    kind, _, number = rest.partition("=")
    bare = kind.rstrip("*?")
    field = owner.field.add(name=name, number=int(number), label=_FieldProto.LABEL_OPTIONAL)
    if kind == "parameters":
        entry = owner.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        _add_field(entry, path, "key:string=1")
        _add_field(entry, path, "value:InferParameter=2")
        kind, bare = "entry*", f"{path}.ParametersEntry"
    if kind.endswith("*"):
        field.label = _FieldProto.LABEL_REPEATED
    if kind.endswith("?"):
        if not owner.oneof_decl:
            owner.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if bare in _SCALARS:
        field.type = _SCALARS[bare]
    else:
        field.type = _FieldProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{bare}"


_POOL: Final = _build()


def message(name: str) -> Any:
    r"""The class of a message of the protocol.

    >>> message("ModelReadyRequest")(name="credit").SerializeToString()
    b'\n\x06credit'
    """
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
