"""XML as elements, and nothing of XML that is not elements: no document types, no entities, no bottomless nesting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from xml.parsers import expat

__all__ = ["Element", "NotPMML", "read_elements"]

# Each level takes a few calls of ours, of which Python allows a thousand.
_MAX_DEPTH: Final = 200
_MAX_ELEMENTS: Final = 2_000_000
_SPACE: Final = "http://www.dmg.org/PMML-"


class NotPMML(Exception):
    """It is not what PMML allows, or not what is read here; the message says what, to a person."""


class Element:
    """One element: its name without a prefix, its attributes, its children and its text."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Element] = []
        self.text = ""

    def get(self, name: str, default: str = "") -> str:
        """An attribute, or what stands for it."""
        return self.attributes.get(name, default)

    def need(self, name: str) -> str:
        """An attribute that must be there."""
        if name not in self.attributes:
            raise NotPMML(f"a {self.name} without its attribute '{name}'")
        return self.attributes[name]

    def number(self, name: str, default: float | None = None) -> float:
        """An attribute that is a number; `default` when it is not there."""
        if default is not None and name not in self.attributes:
            return default
        return as_number(self.need(name), f"{self.name}/{name}")

    def all(self, *names: str) -> Iterator[Element]:
        """The children of these names."""
        return (child for child in self.children if child.name in names)

    def first(self, *names: str) -> Element | None:
        """The first child of these names, if there is one."""
        return next(self.all(*names), None)

    def known(self) -> list[Element]:
        """The children without extensions, which may be left out by the specification."""
        return [child for child in self.children if child.name != "Extension"]


def as_number(text: str, where: str) -> float:
    """A number as PMML writes it."""
    try:
        return float(text.strip())
    except ValueError:
        raise NotPMML(f"{where} is {text[:60]!r}, which is no number") from None


def read_elements(content: bytes) -> Element:
    """The root of an XML document.

    Raises
    ------
    NotPMML
        When it is damaged, declares a document type or entities, or nests too deep.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(content, True)
    except expat.ExpatError as error:
        raise NotPMML(f"damaged XML: {error}") from None
    if reader.root is None:
        raise NotPMML("an empty document")
    return reader.root


class _Reader:
    """Handlers of expat that build elements."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse
        self.parser.ExternalEntityRefHandler = self._refuse
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def _refuse(self, *_said: Any) -> int:
        raise NotPMML("a document type or entities, which PMML has no use for")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= _MAX_DEPTH:
            raise NotPMML(f"elements nested more than {_MAX_DEPTH} deep")
        if self._count > _MAX_ELEMENTS:
            raise NotPMML(f"more than {_MAX_ELEMENTS:,} elements")
        space, _, local = name.rpartition(" ")
        inside = bool(self._open) and self._open[-1].name in {"Extension", "row", "InlineTable"}
        if space and not space.startswith(_SPACE) and not inside:
            raise NotPMML(f"an element '{local}' of another vocabulary, {space[:100]}")
        element = Element(local, {key.rpartition(" ")[2]: value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].text += text
