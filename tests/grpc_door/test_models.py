from __future__ import annotations

import pytest
from tritonclient.grpc import model_config_pb2

from tsavo.endpoints.open_tensors import datatype_of
from tsavo.grpc.models import _DATA_TYPES, shape_of
from tsavo.vocabulary import NUMPY_DTYPES, DType, Field, Output


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
def test_datatypes_are_numbered_as_the_published_client_numbers_them(dtype: DType) -> None:
    name = datatype_of(dtype)
    published = model_config_pb2.DataType.Value("TYPE_STRING" if name == "BYTES" else f"TYPE_{name}")
    assert _DATA_TYPES[dtype] == published


def test_rows_come_first_in_a_shape() -> None:
    assert shape_of(Field("age", "int64")) == [-1]
    assert shape_of(Output("value", "float64")) == [-1]
    assert shape_of(Output("probabilities", "float64", 3)) == [-1, 3]
