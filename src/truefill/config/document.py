"""The config reference as Markdown, made from the schema alone (``truefill schema --markdown``)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from truefill.config.fields import kinds_of
from truefill.config.schema import Config

HEAD = """\
# Config reference

Made from the schema by `make docs`; do not edit. `truefill schema` prints the same as JSON Schema.

Fractions are fractions (0.04 is 4 %), rates end in `_bps`, times in `_s` or `_bars`; durations are
text such as `5m`, `4h`, `1d`, or seconds. Paths count from the file that names them.
`extends: other.yaml` takes another file as the base: mappings merge key by key, everything else
replaces.
`--set a.b=c` changes one value. Unknown keys are errors.
"""

NAMES = {
    str: "text",
    float: "number",
    int: "whole number",
    bool: "true or false",
    Path: "path",
    datetime: "date or timestamp",
    time: "HH:MM",
    Any: "any",
}


def reference() -> str:
    """The whole reference, one section of the config a heading."""
    parts = [HEAD]
    for path, model in _sections("", Config):
        title = f"`{path}`" if path else "Top level"
        doc = (model.__doc__ or "").strip().split("\n")[0]
        parts.append(
            f"\n## {title}\n\n{doc}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
        )
        parts += [_row(name, field) for name, field in model.model_fields.items()]
    return "".join(parts)


def _sections(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        many = "[]" if _is_many(field.annotation) else ""
        inside = f"{path}.{name}{many}".lstrip(".")
        kinds = kinds_of(field.annotation)
        for word, one in kinds.items():
            yield from _sections(f"{inside} of kind {word}", one)
        inner = _inner_model(field.annotation)
        if inner is not None and not kinds:
            yield from _sections(inside, inner)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner_model(inner) for inner in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _is_many(annotation: Any) -> bool:
    if get_origin(annotation) in (tuple, list, dict):
        return True
    return any(_is_many(inner) for inner in get_args(annotation))


def _row(name: str, field: FieldInfo) -> str:
    kind = "duration" if _is_duration(field) else _type(field.annotation)
    cells = (f"`{name}`", kind, _default(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _is_duration(field: FieldInfo) -> bool:
    return any(getattr(m, "json_schema_input_type", None) == str | float for m in field.metadata)


def _type(annotation: Any) -> str:
    """A type as people say it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " or ".join(str(choice) for choice in inner)
    if origin in (Union, UnionType):
        names = list(dict.fromkeys(_type(i) for i in inner if i is not NoneType))
        return " or ".join([*names, "null"] if NoneType in inner else names)
    if origin in (tuple, list):
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"{_type(inner[0])} -> {_type(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return NAMES.get(annotation, str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "see its section"
    if value is None:
        return "null"
    if value == () or value == {}:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(_text(item) for item in value) + "]`"
    return f"`{_text(value)}`"


def _text(value: Any) -> str:
    return value.strftime("%H:%M") if isinstance(value, time) else str(value)
