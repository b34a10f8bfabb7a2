"""The schema is the one source of what a release spec may say."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from tke_provider.domain import specs
from tke_provider.domain.documents import schema_of
from tke_provider.domain.freezes import Freeze


def properties(name: str) -> dict[str, dict]:
    schema = schema_of(specs.SCHEMA)
    whole = schema if name == "spec" else schema["$defs"][name]
    return whole["properties"]


def classes(kind: type, name: str):
    """Every data class that a spec is read into, with the schema's name for it."""
    yield kind, name
    for field, hint in typing.get_type_hints(kind).items():
        for each in [hint, *typing.get_args(hint)]:
            if dataclasses.is_dataclass(each) and each is not Freeze:
                yield from classes(each, properties(name)[field]["$ref"].rpartition("/")[2].removeprefix("list_of_"))


KINDS = [
    *classes(specs.Environment, "environment"),
    *classes(specs.Workload, "workload"),
    (specs.Git, "git"),
    (specs.UnitTests, "test"),
    (specs.BuildKit, "buildkit"),
    (specs.Reports, "reports"),
]


@pytest.mark.parametrize(("kind", "name"), KINDS, ids=[name for _, name in KINDS])
def test_the_schema_and_the_values_agree_on_fields_and_defaults(kind, name):
    documented = properties(name)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    assert documented.keys() == fields.keys()
    for key, field in fields.items():
        if field.default not in (dataclasses.MISSING, None) and field.default != ():
            assert documented[key].get("default") == field.default, f"{name}.{key}"
        else:
            assert "default" not in documented[key], f"{name}.{key}"


def test_every_field_says_what_it_means_once():
    schema = schema_of(specs.SCHEMA)
    found = [
        (name, key, each)
        for name, whole in schema["$defs"].items()
        for key, each in whole.get("properties", {}).items()
    ]
    silent = [(name, key) for name, key, each in found if not each.get("description") and not name.endswith("_key")]
    assert silent == []


def test_the_schema_is_a_schema():
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema_of(specs.SCHEMA))
