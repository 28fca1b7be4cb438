"""``--smoke``: the whole config, small, on the TRAIN period only, so that no look is spent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from truefill.config.load import parse_config
from truefill.config.schema import SMOKE_SUFFIX, Config
from truefill.config.splits import SplitPeriod
from truefill.core.errors import UsageError
from truefill.data.resolve import bar_starts, resolve
from truefill.data.splits import period_of

UPDATES = 2
SEEDS = 2
FOLDS, DRAWS = 2, 200
"""Of forecasters."""
SHARES = (0.7, 0.85)
"""Where validation and test begin inside the train period."""
FOLD_SHARE = 0.6
"""By which folds given in bars are shortened: below the share of train that is left to train."""


def require_own_name(config: Config) -> None:
    """Refuse a config that is called like a smoke run, of which less is asked.

    Raises:
        UsageError: its name ends in ``-smoke``.
    """
    if config.name.endswith(SMOKE_SUFFIX):
        raise UsageError(
            f"name {config.name!r} ends as those of --smoke runs do",
            where="name",
            do="choose another name; --smoke adds the ending by itself",
        )


def smoke_config(config: Config) -> Config:
    """A small run that touches every stage: two updates, two seeds, few draws, no gates.

    The three splits are cut out of the train period: validation and test rows are not read. Splits
    given as a rule get their dates first, for which the bars are read.
    """
    config = resolve(config)
    train = period_of(config.data.splits, "train")
    edges = [train.start, *_cuts(config, train), train.end]
    ppo = config.agent.ppo
    rollout = ppo.num_envs * ppo.num_steps
    tree = config.model_dump(mode="json")
    tree["name"] = config.name + SMOKE_SUFFIX
    tree["audit"] = "optional"
    names = ("train", "validation", "test")
    tree["data"]["splits"] = {
        name: {"start": start.isoformat(), "end": end.isoformat()}
        for name, start, end in zip(names, edges[:-1], edges[1:], strict=True)
    }
    tree["data"]["folds"] = _short_folds(tree["data"]["folds"])
    tree["training"].update(
        seeds=list(config.training.seeds[:SEEDS]),
        total_steps=UPDATES * rollout,
        eval_every_steps=rollout,
        checkpoint_every_steps=rollout,
        eval_episodes=min(2, config.training.eval_episodes),
    )
    if tree["forecast"] is not None:
        tree["forecast"] = _short_forecasts(tree["forecast"])
    tree["evaluation"].update(random_draws=20, bootstrap_draws=200, min_positive_seeds=1)
    off = [name for name in tree["gates"] if name != "min_rows"]
    tree["gates"] = {**dict.fromkeys(off), "min_rows": {name: 1 for name in names}}
    return parse_config(tree, where="--smoke")


def _short_forecasts(forecast: dict[str, Any]) -> dict[str, Any]:
    """One epoch, two folds at most, one seed, few draws."""
    for fit in (forecast["fit"], *(member["fit"] for member in forecast["members"])):
        if fit is not None:
            fit["epochs"] = 1
    folds = min(FOLDS, forecast["out_of_fold"]["folds"])
    protocol = {**forecast["out_of_fold"], "folds": folds}
    skill = {**forecast["skill"], "draws": DRAWS}
    seeds = forecast["seeds"][:1]
    return {**forecast, "out_of_fold": protocol, "skill": skill, "seeds": seeds}


def _cuts(config: Config, train: SplitPeriod) -> list[datetime]:
    """Where validation and test begin; resampled bars are not cut in two, so they are read."""
    cuts = [train.start + share * (train.end - train.start) for share in SHARES]
    if config.data.resample is None:
        return cuts
    starts = bar_starts(config)
    at = np.searchsorted(starts, [round(cut.timestamp() * 1e6) for cut in cuts])
    found = starts[np.minimum(at, len(starts) - 1)]
    return [datetime.fromtimestamp(int(us) / 1e6, UTC) for us in found]


def _short_folds(folds: dict[str, Any] | None) -> dict[str, Any] | None:
    if folds is None:
        return None
    bars = {key: folds[key] for key in ("test_bars", "train_bars") if folds[key] is not None}
    return {**folds, **{key: max(1, int(FOLD_SHARE * n)) for key, n in bars.items()}}
