"""Libraries that come with an extra, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from truefill.core.errors import UsageError


def need_extra(module: str, extra: str, *, where: str) -> Any:
    """Import ``module``. Raises ``UsageError`` that names the extra it comes with, and ``where`` it
    is needed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise UsageError(
            f"{module.split('.')[0]} is not installed",
            where=where,
            do=f"pip install 'truefill[{extra}]'",
        ) from error
