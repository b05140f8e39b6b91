"""Reads YAML of unknown origin into plain data: no tags, no aliases, nothing deep and nothing large."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tsavo.vocabulary import TooLarge, Unreadable

__all__ = ["read_yaml"]

_MAX_BYTES: Final = 2 << 20
_MAX_DEPTH: Final = 20


def read_yaml(path: Path) -> Any:
    """The one document in a YAML file, as dicts, lists, text, numbers, booleans and ``None``.

    Raises
    ------
    Unreadable
        When it is no YAML, or has a tag, an alias, or more than 20 levels.
    TooLarge
        Beyond 2 MiB.
    """
    import yaml

    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise TooLarge(
            f"{path.name} is too large", field="source", found=size, expected=f"{_MAX_BYTES} bytes"
        )

    class Plain(yaml.SafeLoader):
        """No C: it is the one that others can look through; no aliases, which make much of little."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it has aliases")
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise yaml.YAMLError("it is too deep")
            try:
                return super().compose_node(parent, index)
            finally:
                self.depth -= 1

    # Times stay text.
    Plain.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(path.read_text(), Plain)  # noqa: S506 -- a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Unreadable(
            f"{path.name} cannot be read",
            field="source",
            found=str(error)[:200],
            expected="YAML as MLflow writes it",
        ) from error
