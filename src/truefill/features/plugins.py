"""Calculators in files of the user's own, named under ``plugins:``.

A file is run once, as a module of its own; what it registers with ``@calculator`` is then a
calculator like any other. It is code that the user vouches for, like the config that names it. Its
SHA-256 is part of the feature contract: another file is another feature.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from truefill.config.schema import FeatureConfig
from truefill.core.errors import ConfigError
from truefill.core.registry import Entry
from truefill.features.base import Calculator
from truefill.features.blame import PLUGIN, line_of, user_file
from truefill.features.registry import CALCULATORS


@dataclass(frozen=True)
class _Plugin:
    sha256: str
    entries: tuple[Entry[Calculator], ...]


_LOADED: dict[Path, _Plugin] = {}
"""Every file that this process has run, and what it registered."""


def load_plugins(paths: Iterable[Path]) -> dict[str, str]:
    """Make the calculators of these files known; SHA-256 by file name. Files that were run before
    and have not changed are not run again.

    Raises:
        ConfigError: a file that cannot be read, fails, registers nothing, or registers a name that
            is taken; it names file and line.
    """
    _unregister(_LOADED)
    hashes: dict[str, str] = {}
    wanted: list[Path] = []
    for given in paths:
        path = given.absolute()
        source = _read(path)
        digest = hashlib.sha256(source).hexdigest()
        if path.name in hashes:
            raise ConfigError("two plug-ins have one file name", where=f"plugins: {path.name}")
        known = _LOADED.get(path)
        if known is None or known.sha256 != digest:
            _LOADED[path] = _Plugin(digest, _run(path, source, digest))
        else:
            for entry in known.entries:
                _require_free(entry.name, path)
                CALCULATORS.add(entry)
        hashes[path.name] = digest
        wanted.append(path)
    for path in _LOADED.keys() - set(wanted):  # of other configs of this process
        for entry in _LOADED[path].entries:
            if entry.name not in CALCULATORS:
                CALCULATORS.add(entry)
    return hashes


def run_again(paths: Iterable[Path]) -> None:
    """Run these files anew: what their code has remembered since it was loaded is gone."""
    paths = list(paths)
    _unregister({path: _LOADED.pop(path) for path in map(Path.absolute, paths) if path in _LOADED})
    load_plugins(paths)


def require_named(paths: Iterable[Path], features: Iterable[FeatureConfig]) -> None:
    """Refuse a calculator of a file that these ``plugins:`` do not name: one that another config of
    this process brought along, whose hash this one's dataset would not hold."""
    named = {path.absolute() for path in paths}
    others = {p: plugin for p, plugin in _LOADED.items() if p not in named}
    for feature in features:
        inner = feature.params.get("calculator", "")  # of longer bars
        for name in (feature.calculator, str(inner)):
            for path, plugin in others.items():
                if name in CALCULATORS and CALCULATORS.get(name) in plugin.entries:
                    raise ConfigError(
                        f"{name} is a calculator of {path.name}, which this config does not name",
                        where=f"features.{feature.name}",
                        do=f"name the file: plugins: [{path.name}]",
                    )


def _unregister(loaded: dict[Path, _Plugin]) -> None:
    for plugin in loaded.values():
        for entry in plugin.entries:
            if entry.name in CALCULATORS and CALCULATORS.get(entry.name).make is entry.make:
                CALCULATORS.remove(entry.name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the plug-in cannot be read: {error.strerror}",
            where=f"plugins: {path}",
            do="paths count from the config file that names them",
        ) from error


def _run(path: Path, source: bytes, digest: str) -> tuple[Entry[Calculator], ...]:
    """Run a file as a module of its own; what it registered."""
    module = ModuleType(f"{PLUGIN}{path.stem}_{digest[:12]}")
    module.__file__ = str(path)
    before = {entry.name for entry in CALCULATORS}
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException as error:
        del sys.modules[module.__name__]
        for name in [entry.name for entry in CALCULATORS if entry.name not in before]:
            CALCULATORS.remove(name)
        if not isinstance(error, Exception):
            raise
        # Whatever the user's code raises is told with its place; nothing is hidden.
        raise ConfigError(
            f"the plug-in failed: {_told(error)}",
            where=f"plugins: {path.name} line {line_of(error, path)}",
            do="give it another name" if " is taken by " in _told(error) else "repair the file",
        ) from error
    made = tuple(entry for entry in CALCULATORS if entry.name not in before)
    if not made:
        raise ConfigError(
            "the plug-in registers no calculator",
            where=f"plugins: {path}",
            do="decorate one with @calculator; see docs/add-a-calculator.md",
        )
    return made


def _told(error: Exception) -> str:
    """What went wrong; of a name that is taken, whose it is."""
    text = str(error)
    for entry in CALCULATORS:
        if text == f"calculator {entry.name!r} is registered twice":
            return f"calculator {entry.name!r} is taken by {_home(entry)}"
    return f"{type(error).__name__}: {text}"


def _home(entry: Entry[Calculator]) -> str:
    """The file that registered a calculator."""
    path = user_file(entry)
    return f"truefill itself ({entry.params.__module__})" if path is None else path.name


def _require_free(name: str, path: Path) -> None:
    if name in CALCULATORS:
        raise ConfigError(
            f"calculator {name!r} is taken by {_home(CALCULATORS.get(name))}",
            where=f"plugins: {path.name}",
            do="give it another name",
        )
