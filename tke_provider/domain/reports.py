"""Reports: XML that the code under test writes, so that nothing in it is trusted."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat


def root_of(document: bytes) -> tuple[str, dict[str, str]] | None:
    """Return the name and the attributes of a document's root; None for what is no XML, or an attack by it.

    A document type may name a DTD, as many Cobertura reports do: it is never fetched. One that declares entities is
    what XML attacks are made of.
    """
    found: list[tuple[str, dict[str, str]]] = []

    def begin(name: str, attributes: dict[str, str]) -> None:
        if not found:
            found.append((name, attributes))

    parser = expat.ParserCreate()
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.EntityDeclHandler = _refuse
    parser.StartElementHandler = begin
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError):
        return None
    return found[0]


def _refuse(*_: Any) -> None:
    raise ValueError("the report declares an entity")
