"""Comparing what two views of one environment return, and the examples of their page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np


def same(ours: Any, theirs: Any, where: str = "") -> None:
    """Equal structure, types and bits."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key in theirs:
            same(ours[key], theirs[key], f"{where}.{key}")
        return
    if isinstance(theirs, list):
        for i, (own, their) in enumerate(zip(ours, theirs, strict=True)):
            same(own, their, f"{where}[{i}]")
        return
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), where
    if theirs.dtype == object:
        for own, their in zip(ours.ravel(), theirs.ravel(), strict=True):
            assert (own is None) == (their is None), where
            if own is not None:
                same(own, their, where)
    else:
        assert ours.tobytes() == theirs.tobytes(), where


def examples(repository: Path, *, sb3: bool) -> list[str]:
    """The Python of docs/environments.md that does, or does not, need Stable-Baselines3."""
    text = (repository / "docs" / "environments.md").read_text()
    found = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [code for code in found if ("sb3" in code) == sb3]
