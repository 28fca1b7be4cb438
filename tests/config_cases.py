"""A small config that is right, and a way to make it wrong."""

from __future__ import annotations

from typing import Any


def base_tree() -> dict[str, Any]:
    """The tree of a config that validates; a fresh copy each time."""
    return {
        "name": "small",
        "data": {
            "synthetic": {"kind": "random_walk"},
            "interval": "1h",
            "splits": {
                "train": {"start": "2020-01-01", "end": "2020-10-01"},
                "validation": {"start": "2020-10-01", "end": "2021-01-01"},
                "test": {"start": "2021-01-01", "end": "2021-05-01"},
            },
        },
        "features": [
            {"name": "r", "calculator": "log_return"},
            {"name": "r4", "calculator": "log_return", "params": {"periods": 4}},
        ],
    }


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set ``a.b.0.c`` in a tree; sections on the way are made."""
    *parents, last = key.split(".")
    node: Any = tree
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value
