"""YAML text -> :class:`Config`. The only place that parses YAML.

``extends: other.yaml`` takes another file as the base; mappings merge key by key, everything else
replaces. ``--set a.b=c`` comes last. Relative paths count from the file that names them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from truefill.config.data import FILES
from truefill.config.fields import kinds_of
from truefill.config.schema import Config
from truefill.core.errors import ConfigError, did_you_mean

SAMPLE_PREFIX = "sample:"


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key written twice."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    out: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in out:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {key!r} stands twice", key_node.start_mark
            )
        out[key] = loader.construct_object(value_node, deep=True)
    return out


# YAML 1.1 reads 3e-4 as text; YAML 1.2, and everyone, as a number.
_UniqueKeyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)
_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _UniqueKeyLoader)  # a SafeLoader: builds plain data only
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"not valid YAML: {error}", where=where) from error


def _read(path: Path, chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = path.resolve()
    if path in chain:
        names = " -> ".join(p.name for p in (*chain, path))
        raise ConfigError(f"extends goes round in a circle: {names}", where=str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError("the config file does not exist", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the config file: {error}", where=str(path)) from error
    tree = _parse(text, str(path))
    if not isinstance(tree, dict):
        raise ConfigError("a config is a mapping of sections", where=str(path))
    _absolute_paths(tree, path.parent)
    base = tree.pop("extends", None)
    if base is None:
        return tree
    if not isinstance(base, str):
        raise ConfigError("extends takes one file name", where=str(path))
    merged: dict[str, Any] = _merge(_read(path.parent / base, (*chain, path)), tree)
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, as plain data.

    Raises:
        ConfigError: it cannot be read, or is not such a file.
    """
    try:
        tree = _parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the file: {error}", where=str(path)) from error
    if not isinstance(tree, dict):
        raise ConfigError("the file must hold a mapping (key: value)", where=str(path))
    return tree


def _absolute_paths(tree: dict[str, Any], folder: Path) -> None:
    """Make data file paths count from ``folder``."""
    for entry in _with_paths(tree):
        path = entry["path"]
        if isinstance(path, str) and not path.startswith(SAMPLE_PREFIX):
            entry["path"] = str((folder / path).resolve())
    plugins = tree.get("plugins")
    if isinstance(plugins, list):
        tree["plugins"] = [
            str((folder / path).resolve()) if isinstance(path, str) else path for path in plugins
        ]
    training = tree.get("training")
    if isinstance(training, dict) and isinstance(training.get("warm_start"), str):
        training["warm_start"] = str((folder / training["warm_start"]).resolve())


def _with_paths(tree: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The entries of a config that name a data file."""
    data, market = tree.get("data"), tree.get("market")
    found: list[Any] = []
    if isinstance(data, dict):
        found += [data.get(key) for key in (*FILES, "seasonality")]
        synthetic = data.get("synthetic")
        params = synthetic.get("params") if isinstance(synthetic, dict) else None
        found.append(params.get("file") if isinstance(params, dict) else None)
    if isinstance(market, dict):
        found.append(market.get("no_trade"))
    for given in found:
        for entry in given if isinstance(given, list) else [given]:
            if isinstance(entry, dict) and entry.get("path") is not None:
                yield entry


def _merge(base: Any, over: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        keys = [*base, *(key for key in over if key not in base)]
        return {k: _merge(base[k], over[k]) if k in base and k in over
                else over.get(k, base.get(k)) for k in keys}  # fmt: skip
    return over


def _set(tree: dict[str, Any], assignment: str) -> None:
    key, sign, text = assignment.partition("=")
    if not sign or not key.strip():
        raise ConfigError(
            f"--set takes key=value, not {assignment!r}", do="e.g. --set market.fee_bps=5"
        )
    value = _parse(text, f"--set {key}")
    node: Any = tree
    *parents, last = key.strip().split(".")
    for part in parents:
        if isinstance(node, list):
            node = _item(node, part, key)
            continue
        if not isinstance(node.get(part), dict | list):
            node[part] = {}
        node = node[part]
    if isinstance(node, list):
        index = node.index(_item(node, last, key))
        node[index] = value
    else:
        node[last] = value


def _item(items: list[Any], part: str, key: str) -> Any:
    if not (part.isascii() and part.isdecimal()) or int(part) >= len(items):
        raise ConfigError(
            f"{part!r} is no position in a list of {len(items)}", where=f"--set {key}"
        )
    return items[int(part)]


def _model_at(
    location: tuple[int | str, ...],
) -> tuple[type[BaseModel] | None, list[str]]:
    """The section class that holds the key at ``location`` (for 'did you mean'), and the location
    without the tags that pydantic adds to sections told apart by their kind."""
    model: Any = Config
    kinds: Mapping[str, type[BaseModel]] = {}
    plain: list[str] = []
    parts = iter(location)
    for part in parts:
        if part in kinds:
            model, kinds = kinds[str(part)], {}
            continue
        plain.append(str(part))
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if _is_model(model) else None
        if field is None:
            model = None
            continue
        if get_origin(field.annotation) is dict:
            plain += [str(name) for name in (next(parts, None),) if name is not None]
        kinds = kinds_of(field.annotation)
        model = _inner_model(field.annotation)
    return model if _is_model(model) else None, plain


def _is_model(model: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(model, type) and issubclass(model, BaseModel)


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _inner_model(inner)
        if _is_model(found):
            return found
    return None


def _explain(error: ErrorDetails) -> tuple[str, str]:
    """One validation error as (what, what to do)."""
    location = tuple(error["loc"])
    key = ".".join(_model_at(location)[1])
    if error["type"] == "extra_forbidden":
        model, _ = _model_at(location[:-1])
        hint = did_you_mean(str(location[-1]), model.model_fields) if model else ""
        return f"unknown key {key!r}", hint
    if error["type"] == "missing":
        return f"{key!r} is missing", "see `truefill schema`"
    if error["type"] == "union_tag_invalid":
        known = error["ctx"]["expected_tags"]
        return f"{key}: no kind is called {error['ctx']['tag']!r}", f"Known: {known}"
    if error["type"] == "union_tag_not_found":
        return f"{key}: a section (key: value) is needed", "see `truefill schema`"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message, ""


def parse_config(tree: Mapping[str, Any], *, where: str = "config") -> Config:
    """Validate a mapping; all errors come in one ``ConfigError``."""
    try:
        return Config.model_validate(dict(tree))
    except ValidationError as error:
        lines = []
        for details in error.errors():
            what, hint = _explain(details)
            lines.append(f"{what}. {hint}".strip() if hint else what)
        what = lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} errors", *lines])
        raise ConfigError(what, where=where) from error


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read ``path`` (and what it extends), apply ``overrides`` (``a.b=c``), validate.

    Raises:
        ConfigError: with the file, the key, and the nearest known key for a misspelt one.
    """
    path = Path(path)
    tree = _read(path)
    for assignment in overrides:
        _set(tree, assignment)
    return parse_config(tree, where=str(path))


def portable(config: Config) -> dict[str, Any]:
    """The config as plain data, data files by name only: no artifact holds a machine's paths."""
    tree: dict[str, Any] = config.model_dump(mode="json")
    for entry in _with_paths(tree):
        entry["path"] = Path(entry["path"]).name
    tree["plugins"] = [Path(path).name for path in tree["plugins"]]
    if tree["training"]["warm_start"] is not None:
        tree["training"]["warm_start"] = Path(tree["training"]["warm_start"]).name
    return tree


def paths_from(folder: Path, tree: dict[str, Any]) -> dict[str, Any]:
    """``tree`` of a config whose data files count from ``folder``, as a config file there says."""
    for entry in _with_paths(tree):
        if not entry["path"].startswith(SAMPLE_PREFIX):
            entry["path"] = Path(os.path.relpath(entry["path"], folder)).as_posix()
    if "plugins" in tree:
        tree["plugins"] = [Path(os.path.relpath(p, folder)).as_posix() for p in tree["plugins"]]
    warm_start = tree.get("training", {}).get("warm_start")
    if warm_start is not None:
        relative = Path(os.path.relpath(warm_start, folder))
        tree["training"]["warm_start"] = relative.as_posix()
    return tree


def dump_tree(tree: Mapping[str, Any]) -> str:
    """Plain data as YAML, keys in their order."""
    return yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True)


def dump_config(config: Config) -> str:
    """The resolved config as YAML, every default written out."""
    return dump_tree(config.model_dump(mode="json"))
