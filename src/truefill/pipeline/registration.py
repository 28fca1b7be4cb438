"""``gymnasium.make("truefill/Market-v0", config=...)`` and ``gymnasium.make_vec``.

Gymnasium has had no entry points for other packages' environments since 1.0: a package registers
when it is imported. ``import truefill`` does, whichever of the two is imported first, and does not
import gymnasium for it. Without ``import truefill``, name the module in the id, as Gymnasium
documents: ``gymnasium.make("truefill:truefill/Market-v0", config=...)``.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import ModuleType

    from truefill.config.schema import Config
    from truefill.env.gym_single import MarketEnv
    from truefill.env.gym_view import MarketVectorEnv

ENV_ID = "truefill/Market-v0"


def register_when_imported() -> None:
    """Register with Gymnasium: now if it has been imported, else as soon as it is."""
    if "gymnasium" in sys.modules:
        _register()
    elif not any(isinstance(finder, _Gymnasium) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Gymnasium())


def single(config: Config | str | Path, split: str = "train", **options: Any) -> MarketEnv:
    """What ``gymnasium.make`` calls; ``options`` is ``render_mode``."""
    from truefill.pipeline.api import make_single_env

    return make_single_env(config, split, **options)


def vector(num_envs: int, config: Config | str | Path, split: str = "train") -> MarketVectorEnv:
    """What ``gymnasium.make_vec`` calls."""
    from truefill.pipeline.api import make_env

    return make_env(config, split, num_envs=num_envs)


def _register() -> None:
    from gymnasium.envs.registration import register, registry

    if ENV_ID not in registry:
        register(
            ENV_ID,
            entry_point=f"{__name__}:single",
            vector_entry_point=f"{__name__}:vector",
        )


class _Gymnasium:
    """Finds gymnasium as everybody else does, and registers once it has been executed."""

    looking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium" or self.looking:
            return None
        self.looking = True
        try:
            spec = find_spec(fullname)
        finally:
            self.looking = False
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
