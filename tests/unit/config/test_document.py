"""The reference says everything the schema knows, and docs/config.md is up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truefill.config.document import reference
from truefill.config.schema import Config


def test_the_reference_in_docs_is_up_to_date(repository: Path) -> None:
    assert (repository / "docs" / "config.md").read_text() == reference(), "run `make docs`"


def _fields(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for title, model in {"Config": schema, **schema["$defs"]}.items():
        for name, field in model.get("properties", {}).items():
            yield title, name, field


def test_every_field_has_its_row() -> None:
    text = reference()
    for title, name, _ in _fields(Config.model_json_schema()):
        if title != "Schedule":
            assert f"| `{name}` |" in text, f"{title}.{name}"


def test_every_plain_field_is_described() -> None:
    for title, name, field in _fields(Config.model_json_schema()):
        is_section = "$ref" in field
        assert is_section or field.get("description"), f"{title}.{name} has no description"


def test_the_schema_refuses_unknown_keys() -> None:
    schema = Config.model_json_schema()
    models = [schema, *schema["$defs"].values()]
    assert all(m.get("additionalProperties") is False for m in models if "properties" in m)
