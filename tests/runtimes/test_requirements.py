from __future__ import annotations

import importlib.metadata

import pytest

from tsavo.runtimes.requirements import checked, unsatisfied
from tsavo.vocabulary import Invalid

NUMPY = importlib.metadata.version("numpy")


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        (f"numpy=={NUMPY}", True),
        ("numpy", True),
        ("NumPy>=1", True),
        ("numpy>=1,<2000", True),
        ("numpy<1", False),
        ("no-such-distribution", False),
        ("no-such-distribution; python_version < '3'", True),
        ("no-such-distribution; python_version >= '3'", False),
        ("httpx[no-such-extra]", True),
        ("jinja2[i18n]>=3", True),
        ("sqlalchemy[oracle]", False),
    ],
)
def test_what_our_own_environment_satisfies(line: str, holds: bool) -> None:
    if line.startswith("jinja2"):
        try:
            importlib.metadata.version("babel")
        except importlib.metadata.PackageNotFoundError:
            holds = False
    assert unsatisfied([line]) == ([] if holds else [line])


def test_another_build_of_a_library_is_that_library() -> None:
    version = importlib.metadata.version("xgboost-cpu")
    assert unsatisfied([f"xgboost=={version}", f"xgboost-cpu=={version}"]) == []
    assert unsatisfied(["xgboost==0.1"]) == ["xgboost==0.1"]


def test_each_is_kept_once_in_its_plain_form() -> None:
    assert checked(["six == 1.0", "six==1.0", 'a [b,c]>=1 ; python_version<"4"']) == [
        "six==1.0",
        'a[b,c]>=1; python_version < "4"',
    ]
    with pytest.raises(Invalid, match="too many"):
        checked(["six"] * 1001)
