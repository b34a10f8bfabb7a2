"""Documents that people write in YAML, read so that every mistake is told at once, each with its line.

A document is checked against a JSON Schema that lies beside this file, which editors can use, too.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

from tke_provider.domain.phrases import some
from tke_provider.exceptions import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import yaml
    from jsonschema.exceptions import ValidationError

Path: TypeAlias = "tuple[str | int, ...]"
"""Where in a document something stands: keys, and positions in lists."""

_SCALARS = {"tag:yaml.org,2002:timestamp": "tag:yaml.org,2002:str"}
_MOST_TOLD = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place."""

    path: Path
    sentence: str


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """What a document says, and where.

    :param name: what errors call it, such as ``The plan``.
    :param content: mappings, lists and scalars of JSON; a date stays the text that it was written as.
    :param lines: the line of every value, by its path; of a mapping's value that of its key.
    """

    name: str
    content: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of a value, or of the nearest thing that it would belong to."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def refuse(self, problems: Iterable[Problem]) -> None:
        """Raise one error that tells every problem with its line; nothing happens where there is none.

        :raises ManifestError: with one line of text a problem, in the document's order.
        """
        told = sorted({(self.line(each.path), each.sentence) for each in problems})
        if not told:
            return
        sentences = [f"line {line}: {sentence}" for line, sentence in told]
        count = "a mistake" if len(told) == 1 else f"{len(told)} mistakes"
        cause = some(sentences, _MOST_TOLD, "; ")
        raise ManifestError(f"{self.name} has {count}", cause=cause, way_out="correct the document")


def read(text: str, *, name: str, schema: str) -> Document:
    """Read a document of one YAML object.

    :param name: what errors call it, such as ``The plan``.
    :param schema: the JSON Schema's file in this package, such as ``plan.schema.json``.
    :raises ManifestError: when it is not YAML, says a key twice, or does not fit the schema; tells every line.
    """
    node = _compose(text, name)
    twice = list(_twice(node, ()))  # before "<<" is resolved: a key beside it may say something else
    document = Document(name, _content(node), dict(_lines(node, ())))
    document.refuse(twice)
    document.refuse(_misfits(document.content, schema_of(schema)))
    return document


@functools.cache
def schema_of(file: str) -> dict[str, Any]:
    """Return a JSON Schema of this package."""
    loaded: dict[str, Any] = json.loads(resources.files("tke_provider.domain").joinpath(file).read_text("utf-8"))
    return loaded


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known word that looks most like this one, or at all of them."""
    candidates = list(known)
    if close := difflib.get_close_matches(word, candidates, n=1):
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(sorted(candidates)) or 'none'}"


# --- YAML -------------------------------------------------------------------------------------------------------------


def _compose(text: str, name: str) -> yaml.Node:
    import yaml

    try:
        # libyaml, where PyYAML was built with it: a plan of 1,000 targets is read in a fraction of the time.
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        cause = " ".join(filter(None, (error.context, error.problem)))
        raise ManifestError(f"{name} is not YAML", cause=line + cause, way_out="correct it") from error
    except yaml.YAMLError as error:
        raise ManifestError(f"{name} is not YAML", cause=str(error), way_out="correct it") from error
    if node is None:
        raise ManifestError(f"{name} is empty", way_out="write what it should say")
    return node


def _content(node: yaml.Node) -> Any:
    """Return what JSON has: no dates, no sets; an alias is a copy of what it stands for."""
    import yaml

    loader = yaml.SafeLoader("")
    try:
        for each in _walk(node, ()):
            each.tag = _SCALARS.get(each.tag, each.tag)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _walk(node: yaml.Node, above: tuple[yaml.Node, ...]) -> Iterator[yaml.Node]:
    import yaml

    if node in above:
        line = node.start_mark.line + 1
        raise ManifestError(f"Line {line} contains itself", way_out="write out what the alias stands for")
    yield node
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            for each in pair:
                yield from _walk(each, (*above, node))
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _walk(each, (*above, node))


def _lines(node: yaml.Node, path: Path) -> Iterator[tuple[Path, int]]:
    import yaml

    if not path:
        yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key.start_mark.line + 1
            yield from _lines(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*path, number), value.start_mark.line + 1
            yield from _lines(value, (*path, number))


def _twice(node: yaml.Node, path: Path) -> Iterator[Problem]:
    """Find keys said twice, of which YAML keeps the last without a word."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        said: set[str] = set()
        for key, value in node.value:
            if key.value in said:
                yield Problem((*path, key.value), f"says {key.value!r} a second time")
            said.add(key.value)
            yield from _twice(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _twice(value, (*path, number))


# --- the schema -------------------------------------------------------------------------------------------------------


def _misfits(content: Any, schema: Mapping[str, Any]) -> Iterator[Problem]:
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema)
    for error in validator.iter_errors(content):
        yield from _explain(error)


def _explain(error: ValidationError) -> Iterator[Problem]:
    path = tuple(error.absolute_path)
    what = repr(".".join(map(str, path))) if path else "this"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        for key in error.instance.keys() - known.keys():
            yield Problem((*path, key), f"nothing is called {key!r} here: {nearest(str(key), known)}")
    elif error.validator == "required" and isinstance(error.instance, dict):
        for key in set(map(str, error.validator_value)) - error.instance.keys():
            yield Problem(path, f"{key!r} is missing")
    elif error.validator in {"oneOf", "anyOf"} and error.context:
        yield from _closest(error)
    elif error.validator == "oneOf" and all("required" in each for each in error.validator_value):
        alternatives = (" and ".join(map(repr, each["required"])) for each in error.validator_value)
        yield Problem(path, f"only one of {', '.join(alternatives)} may be said")
    elif meant := _meant(error.schema):
        yield Problem(path, f"{what} is {_shown(error.instance)}: write {meant}")
    else:
        yield Problem(path, f"{what}: {error.message}")


def _closest(error: ValidationError) -> Iterator[Problem]:
    """Explain what is wrong with the alternative that was meant: the one in which most of it fits."""
    schema, path = error.schema, tuple(error.absolute_path)
    if isinstance(schema, dict) and (meant := schema.get("description")) and not isinstance(error.instance, dict):
        yield Problem(path, f"{_shown(error.instance)} is not understood: write {meant}")
        return
    branches: dict[object, list[ValidationError]] = {}
    for each in error.context or ():
        branches.setdefault(each.schema_path[0], []).append(each)
    fewest = min(len(branch) for branch in branches.values())
    meant_ones = [branch for branch in branches.values() if len(branch) == fewest]
    if len(meant_ones) > 1 and all(each.validator == "required" for branch in meant_ones for each in branch):
        alternatives = (" and ".join(map(repr, branch[0].validator_value)) for branch in meant_ones)
        yield Problem(path, f"{' or '.join(alternatives)} is missing")
        return
    for each in meant_ones[0]:
        yield from _explain(each)


def _meant(schema: object) -> str:
    """Return what the schema says that should be written here."""
    return str(schema.get("description", "")) if isinstance(schema, dict) else ""


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:80]
