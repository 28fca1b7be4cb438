"""Plug-ins: files of the user's own, named under ``plugins:``.

A file is run once, as a module of its own; what it registers is then there like what truefill
registers itself. It is code that the user vouches for, like the config that names it. The SHA-256
of a file goes wherever something depends on it: into run, stages, feature contract, bundle.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from truefill.core.errors import ConfigError, TruefillError
from truefill.core.registry import PLUGGED, Entry, Registry

PLUGIN = "truefill_plugin_"
"""How the modules begin as which users' files are run."""
PAGES = "docs/add-a-calculator.md, docs/networks.md and docs/forecast-networks.md"

Found = tuple[Registry[Any], Entry[Any]]
"""An entry and where it is registered."""


@dataclass(frozen=True)
class _Plugin:
    sha256: str
    entries: tuple[Found, ...]


_LOADED: dict[Path, _Plugin] = {}
"""Every file that this process has run, and what it registered."""


def load_plugins(paths: Iterable[Path]) -> dict[str, str]:
    """Make known what these files register; SHA-256 by file name. Files that were run before and
    have not changed are not run again.

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
            for registry, entry in known.entries:
                _require_free(registry, entry.name, path)
                registry.add(entry)
        hashes[path.name] = digest
        wanted.append(path)
    for path in _LOADED.keys() - set(wanted):  # of other configs of this process
        for registry, entry in _LOADED[path].entries:
            if entry.name not in registry:
                registry.add(entry)
    return hashes


def run_again(paths: Iterable[Path]) -> None:
    """Run these files anew: what their code has remembered since it was loaded is gone."""
    paths = list(paths)
    _unregister({path: _LOADED.pop(path) for path in map(Path.absolute, paths) if path in _LOADED})
    load_plugins(paths)


def require_unchanged(found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Refuse files that have changed since ``expected`` (SHA-256 by file name) was taken."""
    for name, digest in found.items():
        if digest != expected[name]:
            raise ConfigError(
                "the plug-in has changed since this run began",
                where=f"plugins: {name}",
                do="run again: an edited file is another run",
            )


def require_named(paths: Iterable[Path], registry: Registry[Any], name: str, where: str) -> None:
    """Refuse an entry of a file that these ``plugins:`` do not name: one that another config of
    this process brought along, whose hash nothing of this one would hold."""
    home = home_of(registry, name)
    if home is not None and home not in {path.absolute() for path in paths}:
        raise ConfigError(
            f"{name} is {_article(registry.kind)} of {home.name}, which this config does not name",
            where=where,
            do=f"name the file: plugins: [{home.name}]",
        )


def home_of(registry: Registry[Any], name: str) -> Path | None:
    """The file that registered an entry; None for one of truefill's own, or where there is none."""
    if name not in registry:
        return None
    found = (registry, registry.get(name))
    return next((path for path, plugin in _LOADED.items() if found in plugin.entries), None)


def sha256_of(registry: Registry[Any], name: str) -> dict[str, str]:
    """SHA-256 by name of the file that registered an entry; {} for one of truefill's own."""
    path = home_of(registry, name)
    return {} if path is None else {path.name: _LOADED[path].sha256}


def hashes_with(paths: Iterable[Path], registry: Registry[Any]) -> dict[str, str]:
    """SHA-256 by file name of those of these loaded files that register anything of this kind."""
    loaded = [(path, _LOADED[path.absolute()]) for path in paths]
    return {
        path.name: plugin.sha256
        for path, plugin in loaded
        if any(kind is registry for kind, _ in plugin.entries)
    }


def file_of(entry: Entry[Any]) -> Path | None:
    """The user's file that made an entry; None for one of truefill's own."""
    for made in (entry.facts.get("running"), entry.make, entry.params):
        module = getattr(made, "__module__", "")
        if module.startswith(PLUGIN) and module in sys.modules:
            return Path(str(sys.modules[module].__file__))
    return None


@contextmanager
def blamed(entry: Entry[Any], where: str) -> Iterator[None]:
    """Within it, whatever a user's code raises becomes a ``ConfigError`` with file and line, and a
    ``ConfigError`` without a place gets one. What truefill's own code raises is a bug of ours, and
    stays what it is."""
    path = file_of(entry)
    if path is None:
        yield
        return
    try:
        yield
    except ConfigError as error:
        if error.where:
            raise
        line = line_of(error, path)
        place = f"{where}: {path.name}" + (f" line {line}" if line else "")
        raise ConfigError(error.what, where=place, do=error.do) from error
    except TruefillError:
        raise
    except Exception as error:  # of the user's code: told with its place, nothing is hidden
        raise ConfigError(
            f"{entry.name} failed: {type(error).__name__}: {error}",
            where=f"{where}: {path.name} line {line_of(error, path)}",
            do="repair the file",
        ) from error


def line_of(error: Exception, path: Path) -> int:
    """The last line of the file that was at work."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 0 for f in reversed(frames) if f.filename == str(path)), 0)


def _unregister(loaded: Mapping[Path, _Plugin]) -> None:
    for plugin in loaded.values():
        for registry, entry in plugin.entries:
            if entry.name in registry and registry.get(entry.name).make is entry.make:
                registry.remove(entry.name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the plug-in cannot be read: {error.strerror}",
            where=f"plugins: {path}",
            do="paths count from the config file that names them",
        ) from error


def _run(path: Path, source: bytes, digest: str) -> tuple[Found, ...]:
    """Run a file as a module of its own; what it registered."""
    module = ModuleType(f"{PLUGIN}{path.stem}_{digest[:12]}")
    module.__file__ = str(path)
    before = {id(registry): {entry.name for entry in registry} for registry in PLUGGED}
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException as error:
        del sys.modules[module.__name__]
        for registry, entry in _new(before):
            registry.remove(entry.name)
        if not isinstance(error, Exception):
            raise
        # Whatever the user's code raises is told with its place; nothing is hidden.
        raise ConfigError(
            f"the plug-in failed: {_told(error)}",
            where=f"plugins: {path.name} line {line_of(error, path)}",
            do="give it another name" if " is taken by " in _told(error) else "repair the file",
        ) from error
    made = _new(before)
    if not made:
        raise ConfigError(
            "the plug-in registers nothing: no calculator, encoder, policy, network or forecaster",
            where=f"plugins: {path}",
            do=f"decorate one with @calculator, @encoder, @policy or @network; see {PAGES}",
        )
    return made


def _new(before: Mapping[int, set[str]]) -> tuple[Found, ...]:
    """What a user's file has registered: all that was not there before, but for truefill's own
    entries of a registry that the file was the first to import."""
    return tuple(
        (registry, entry)
        for registry in PLUGGED
        for entry in registry
        if entry.name not in before.get(id(registry), ())
        and (id(registry) in before or not _ours(entry))
    )


def _ours(entry: Entry[Any]) -> bool:
    return all(
        getattr(made, "__module__", "").startswith("truefill.")
        for made in (entry.make, entry.params)
    )


def _told(error: Exception) -> str:
    """What went wrong; of a name that is taken, whose it is."""
    text = str(error)
    for registry in PLUGGED:
        for entry in registry:
            if text == f"{registry.kind} {entry.name!r} is registered twice":
                return f"{registry.kind} {entry.name!r} is taken by {_home(entry)}"
    return f"{type(error).__name__}: {text}"


def _home(entry: Entry[Any]) -> str:
    """The file that registered an entry."""
    path = file_of(entry)
    return f"truefill itself ({entry.params.__module__})" if path is None else path.name


def _require_free(registry: Registry[Any], name: str, path: Path) -> None:
    if name in registry:
        raise ConfigError(
            f"{registry.kind} {name!r} is taken by {_home(registry.get(name))}",
            where=f"plugins: {path.name}",
            do="give it another name",
        )


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
