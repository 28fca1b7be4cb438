"""Policies of the user's own: what they decide up to a bar follows from the bars up to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from truefill.audit import play as playing
from truefill.audit.case import Case
from truefill.audit.chain import Chain, lineage_of
from truefill.audit.checks.market import stage_of
from truefill.audit.cuts import some
from truefill.audit.evidence import Timed
from truefill.audit.registry import Tally, audit
from truefill.audit.rows import ROW_MUTATIONS, changed_after, rows_differ
from truefill.core.errors import TruefillError
from truefill.env.episodes import EnvArrays, EnvSpec, EnvState, Observation
from truefill.env.setup import Environment
from truefill.evaluation.policies import Given, Played, make_policy
from truefill.market.types import Array


def decide(
    own: Played, memory: Any, seen: Observation, spec: EnvSpec, env: EnvArrays, state: EnvState
) -> tuple[Array, Any]:
    """The chain's decision, of a policy of the user's own."""
    return own.decide(memory, seen.values, seen.legal)


@audit(
    "market/own policies",
    stage="actions",
    proves="what each policy under evaluation.policies decides at a close, and remembers, does not "
    "move with later bars",
)
def actions(case: Case, tally: Tally) -> None:
    wanted = case.config.evaluation.policies
    if not wanted:
        tally.absent = "evaluation.policies names none"
        return
    stage, built = stage_of(case), case.small.built
    lineage = lineage_of(case.small.config, built, case.chain)
    given = Given.of(stage.env.spec, lineage, built.norm_stats)
    chain = replace(case.chain, decide=decide)
    owns = {
        own.name: make_policy(own.policy, own.params, given, f"evaluation.policies.{i}").parameters
        for i, own in enumerate(wanted)
    }
    before = _decided(case, chain, owns, stage.env)
    bars = range(stage.first, len(stage.split) - 1)
    cuts = some(bars, 4 if case.quick else 24)
    tally.plan(len(cuts) * len(ROW_MUTATIONS))
    for t in cuts:
        for how in ROW_MUTATIONS:
            split = changed_after(stage.split, t, how)
            cut = int(stage.closes_s[t])
            if not rows_differ(stage.split, split):
                tally.skip(how)
                continue
            try:
                env = case.chain.environment(case.small.config, split, "backtest")
            except TruefillError as error:
                tally.refuse(cut, how, error)
                continue
            tally.compare(cut, how, before, _decided(case, chain, owns, env))
    for timed in before:
        if timed.item.endswith("action") and len(np.unique(timed.values, axis=0)) < 2:
            tally.notes.append(f"{timed.item} is the same on every bar")


def _decided(case: Case, chain: Chain, owns: dict[str, Played], env: Environment) -> list[Timed]:
    """Actions and memory of every policy, each known at its close."""
    stage = stage_of(case)
    return [
        replace(timed, item=f"{name}: {timed.item}")
        for name, own in owns.items()
        for timed in playing.decided(playing.play(chain, env, own), stage.closes_s, stage.first)
    ]
