"""Training: weights follow from train, the choice among them from train and validation.

Learned stages are cut at the borders of the splits only, and with the same number of rows, so that
nothing is compiled twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from truefill.agents.ensemble import Actor, Ensemble
from truefill.audit.case import Case
from truefill.audit.chain import Trained
from truefill.audit.checks.dataset import variants
from truefill.audit.evidence import Timed, fact
from truefill.audit.mutations import FINITE
from truefill.audit.play import Probe, the_rule
from truefill.audit.registry import Tally, audit
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.env.setup import make_decoder, make_spec
from truefill.features.build import BuiltDataset

SEEDS = (1, 2)
UNTRAINED = "agent.kind is rule: nothing is trained"
SAME_ROWS = ("random", "reversed", "frozen")
"""Mutations that leave every row in its place."""
UPDATES = 4
PPO = {"num_envs": 32, "num_steps": 16, "minibatch": 256, "block": 32, "epochs": 2}
POPART = {"warmup_updates": 1, "min_samples": 1, "holdout_envs": 32, "ev_floor": None}
HIDDEN = 8
EPISODE_BARS = 48


def short(config: Config) -> Config:
    """The config with a training of a few updates on a small network."""
    tree = config.model_dump(mode="json")
    rollout = PPO["num_envs"] * PPO["num_steps"]
    tree["agent"]["ppo"].update(PPO)
    tree["agent"]["network"]["hidden"] = [HIDDEN for _ in tree["agent"]["network"]["hidden"]]
    if config.agent.recurrent:
        tree["agent"]["memory"].update(units=HIDDEN, sequence=None)
    if config.agent.popart is not None:  # so that the unit is taken over within these updates
        tree["agent"]["critic"]["popart"].update(POPART)
    tree["env"]["episode_bars"] = min(EPISODE_BARS, config.env.episode_bars)
    tree["training"].update(
        seeds=list(SEEDS),
        total_steps=UPDATES * rollout,
        eval_every_steps=rollout,
        checkpoint_every_steps=UPDATES * rollout,
        eval_episodes=2,
        patience=None,  # so that the final weights follow from train alone
        warm_start=None,  # weights from elsewhere follow from no row of this run
    )
    tree["evaluation"]["min_positive_seeds"] = 1
    return parse_config(tree, where="audit")


@lru_cache(maxsize=16)
def _trained(case: Case, cut_s: int | None, how: str) -> dict[int, Trained]:
    """A short training of every seed on the small dataset, or on a variant of it."""
    built = case.small.built if cut_s is None else case.variant(cut_s, how)
    assert isinstance(built, BuiltDataset)
    config = short(case.small.config)
    return {
        seed: case.chain.train(config, built, case.chain, seed, Path(mkdtemp(dir=case.scratch)))
        for seed in SEEDS
    }


def changes(case: Case) -> Iterator[tuple[int, str]]:
    """(cut, mutation): at the end of train, then of validation."""
    ends = case.small_ends
    count = 1 if case.quick else None
    for how in SAME_ROWS[:count]:
        yield ends["train"], how
    for how in FINITE[:count]:
        yield ends["validation"], how


def changes_of_test(case: Case) -> list[tuple[int, str]]:
    """Those at the end of validation."""
    return [(cut, how) for cut, how in changes(case) if cut == case.small_ends["validation"]]


def weights(case: Case, trained: dict[int, Trained]) -> list[Timed]:
    """Hashes of what the trainings wrote."""
    ends = case.small_ends
    out = []
    for seed, one in trained.items():
        for name, sha256 in one.files.items():
            of_train = name in ("final.safetensors", "updates.parquet")
            known = ends["train" if of_train else "validation"]
            out.append(fact(f"seed {seed}: {name}", known, sha256))
    return out


@audit(
    "training/weights",
    stage="trained weights",
    proves="a short training gives the same bits when all that follows train changes, and its best "
    "network when all that follows validation does",
)
def check_weights(case: Case, tally: Tally) -> None:
    if case.config.agent.rule is not None:
        tally.absent = UNTRAINED
        return
    before = weights(case, _trained(case, None, ""))
    for cut, how, built in variants(case, tally, changes(case), seen=True):
        after = weights(case, _trained(case, cut, how))
        tally.compare(cut, how, before, after, reacted=case.reaches(built))


@audit(
    "training/selection",
    stage="selection",
    proves="scores on validation and the seed that they choose do not move with the rows of test",
)
def check_selection(case: Case, tally: Tally) -> None:
    if case.config.agent.rule is not None:
        tally.absent = UNTRAINED
        return
    end = case.small_ends["validation"]

    def chosen(built: BuiltDataset, trained: dict[int, Trained]) -> list[Timed]:
        scores = {str(seed): one.score for seed, one in trained.items()}
        return [
            fact("scores", end, scores),
            fact("chosen seed", end, case.chain.select(built, trained)),
        ]

    before = chosen(case.small.built, _trained(case, None, ""))
    for cut, how, built in variants(case, tally, changes_of_test(case), seen=True):
        after = chosen(built, _trained(case, cut, how))
        tally.compare(cut, how, before, after, reacted=case.reaches(built))


def _judged(case: Case, config: Config) -> Actor:
    """A seed's network, or the ensemble of all where the config has one; or its rule."""
    if config.agent.rule is not None:
        built = case.small.built
        spec = make_spec(config, case.chain.seen(config, built, case.chain, "validation"))
        return the_rule(case.chain, config, spec, built)
    trained = _trained(case, None, "")
    networks = tuple(one.network for one in trained.values())
    if config.training.ensemble is None:
        return networks[0]
    decoder = make_decoder(config)
    return Ensemble(networks, config.training.ensemble, decoder.low, decoder.high)


@audit(
    "training/validation results",
    stage="validation",
    proves="the backtest on validation is byte-identical whatever the rows of test are",
)
def check_validation(case: Case, tally: Tally) -> None:
    end = case.small_ends["validation"]
    config = short(case.small.config)
    network = _judged(case, config)

    def results(built: BuiltDataset) -> list[Timed]:
        policy = Probe(network, built.contract.sha256)
        trace = case.chain.validate(config, built, case.chain, policy)
        known = np.full(len(trace.equity), end, np.int64)
        rows = np.asarray([str(row) for row in trace.trades.rows()], dtype=object)
        return [
            *(Timed(n, known, getattr(trace, n)) for n in ("equity", "weights", "cost")),
            Timed("closed trades", np.full(len(rows), end, np.int64), rows),
        ]

    before = results(case.small.built)
    for cut, how, built in variants(case, tally, changes_of_test(case), seen=True):
        tally.compare(cut, how, before, results(built), reacted=case.reaches(built))
