"""``--smoke``: the whole config, small, on the TRAIN period only, so that no look is spent."""

from __future__ import annotations

from truefill.config.load import parse_config
from truefill.config.schema import SMOKE_SUFFIX, Config

UPDATES = 2
SEEDS = 2
SHARES = (0.7, 0.85)
"""Where validation and test begin inside the train period."""


def smoke_config(config: Config) -> Config:
    """A small run that touches every stage: two updates, two seeds, few draws, no gates.

    The three splits are cut out of the train period: validation and test rows are not read.
    """
    train = config.data.splits.train
    cuts = [train.start + share * (train.end - train.start) for share in SHARES]
    edges = [train.start, *cuts, train.end]
    ppo = config.agent.ppo
    rollout = ppo.num_envs * ppo.num_steps
    tree = config.model_dump(mode="json")
    tree["name"] = config.name + SMOKE_SUFFIX
    names = ("train", "validation", "test")
    tree["data"]["splits"] = {
        name: {"start": start.isoformat(), "end": end.isoformat()}
        for name, start, end in zip(names, edges[:-1], edges[1:], strict=True)
    }
    tree["training"].update(
        seeds=list(config.training.seeds[:SEEDS]),
        total_steps=UPDATES * rollout,
        eval_every_steps=rollout,
        checkpoint_every_steps=rollout,
        eval_episodes=min(2, config.training.eval_episodes),
    )
    tree["evaluation"].update(random_draws=20, bootstrap_draws=200, min_positive_seeds=1)
    off = [name for name in tree["gates"] if name != "min_rows"]
    tree["gates"] = {**dict.fromkeys(off), "min_rows": {name: 1 for name in names}}
    return parse_config(tree, where="--smoke")
