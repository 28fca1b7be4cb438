"""truefill: one config, one market, every agent, an honest verdict.

The names below are imported when they are first used (PEP 562), so that ``import truefill`` costs
milliseconds and pulls in neither jax nor numpy. ``gymnasium.make("truefill/Market-v0", ...)`` works
from then on, whether gymnasium is imported before or after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from truefill.pipeline.registration import register_when_imported

if TYPE_CHECKING:
    from truefill.agents.encoders import encoder as encoder
    from truefill.config.load import load_config as load_config
    from truefill.evaluation.policies import policy as policy
    from truefill.features.build import build_dataset as build_dataset
    from truefill.forecast.networks import network as network
    from truefill.pipeline.api import backtest as backtest
    from truefill.pipeline.api import load_bundle as load_bundle
    from truefill.pipeline.api import make_env as make_env
    from truefill.pipeline.api import run as run
    from truefill.pipeline.fit_api import fit_forecaster as fit_forecaster
    from truefill.pipeline.fit_api import load_forecaster as load_forecaster
    from truefill.pipeline.tune import tune as tune

__version__ = "0.1.0"

_HOMES = {
    "load_config": "truefill.config.load",
    "build_dataset": "truefill.pipeline.api",
    "run": "truefill.pipeline.api",
    "tune": "truefill.pipeline.tune",
    "make_env": "truefill.pipeline.api",
    "backtest": "truefill.pipeline.api",
    "load_bundle": "truefill.pipeline.api",
    "fit_forecaster": "truefill.pipeline.fit_api",
    "load_forecaster": "truefill.pipeline.fit_api",
    "encoder": "truefill.agents.encoders",
    "network": "truefill.forecast.networks",
    "policy": "truefill.evaluation.policies",
}

__all__ = ["__version__", *_HOMES]

register_when_imported()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'truefill' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
