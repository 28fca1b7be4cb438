"""Registries of plug-ins: a name, a frozen parameter class, a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from truefill.core.errors import ConfigError, did_you_mean

T = TypeVar("T")


class Params(BaseModel):
    """Base of all plug-in parameters: frozen, typed, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered plug-in."""

    name: str
    params: type[Params]
    make: T
    facts: Mapping[str, Any]

    @property
    def summary(self) -> str:
        return (self.params.__doc__ or "").strip().split("\n")[0]


class Registry(Generic[T]):
    """Named plug-ins of one kind.

    >>> shapes: Registry[Callable[[Params], float]] = Registry("shape")
    >>> class Square(Params):
    ...     "A square."
    ...     side: float = 1.0
    >>> @shapes.register("square", Square)
    ... def square(p: Square) -> float:
    ...     return p.side**2
    >>> entry = shapes.get("square")
    >>> entry.make(entry.params(side=3.0))
    9.0
    """

    def __init__(self, kind: str, *, plugged: bool = False) -> None:
        """``plugged``: files of the user's own may add to it (``core/plugins.py``)."""
        self.kind = kind
        self._entries: dict[str, Entry[T]] = {}
        if plugged:
            PLUGGED.append(self)

    def register(self, name: str, params: type[Params], **facts: Any) -> Callable[[T], T]:
        """Decorator: register what it decorates under ``name``."""

        def decorate(make: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = Entry(name, params, make, facts)
            return make

        return decorate

    def remove(self, name: str) -> Entry[T]:
        """Take an entry out; the inverse of :meth:`add`."""
        return self._entries.pop(name)

    def add(self, entry: Entry[T]) -> None:
        """Put a removed entry back; its name must be free."""
        self.register(entry.name, entry.params, **entry.facts)(entry.make)

    def get(self, name: str, *, where: str = "") -> Entry[T]:
        """The entry called ``name``; ``ConfigError`` with the nearest name when there is none."""
        if name not in self._entries:
            hint = did_you_mean(name, self._entries)
            raise ConfigError(f"no {self.kind} is called {name!r}", where=where, do=hint)
        return self._entries[name]

    def parse(self, name: str, params: Mapping[str, Any], *, where: str = "") -> Any:
        """Validated parameters of entry ``name``; ``ConfigError`` names the wrong one."""
        entry = self.get(name, where=where)
        try:
            return entry.params(**params)
        except ValidationError as error:
            # An unknown key is often a misspelt one, and then why another one is missing.
            first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
            key = ".".join(str(part) for part in first["loc"])
            hint = ""
            if first["type"] == "extra_forbidden":
                hint = did_you_mean(key, entry.params.model_fields)
            raise ConfigError(
                f"{self.kind} {name!r}, parameter {key!r}: {first['msg']}", where=where, do=hint
            ) from error

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(sorted(self._entries.values(), key=lambda e: e.name))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries


PLUGGED: list[Registry[Any]] = []
"""The registries that files of the user's own may add to."""
