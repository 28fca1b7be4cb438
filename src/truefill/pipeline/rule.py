"""The judged policy is a rule: nothing is trained, and it is written down in a training's place.

train/rule/bundle holds a policy bundle without weights, train/rule/rule.json what the rule is
(name, all its parameters, SHA-256) and what it does on the fixed validation episodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from truefill.agents import behaviour, validate
from truefill.agents.bundle import FILES, INDEX, RULE, Bundle, load_bundle, rule_of, save_bundle
from truefill.config import load as config_load
from truefill.config.evaluation import RULE as NAME
from truefill.core.files import read_json, write_json
from truefill.data.dataset import load_lineage
from truefill.data.split import SplitArrays
from truefill.env.policies import POLICIES
from truefill.env.policies.base import played_as
from truefill.env.setup import make_environment
from truefill.pipeline.behaviours import SUMMARY
from truefill.pipeline.ledger import Look

if TYPE_CHECKING:
    from truefill.pipeline.stages import Work

FOLDER = f"train/{NAME}"
FACTS = f"{FOLDER}/rule.json"
LEDGER_SEED = -2
"""In place of a seed, in the ledger, of policies of the user's own."""
CHOSEN_BY = "the config (agent.kind: rule): nothing was trained, and nothing was selected"


def write_rule(
    work: Work, split: SplitArrays, lineage: dict[str, Any], norm_stats: dict[str, Any]
) -> list[str]:
    """train: the rule's bundle, and what it does on the fixed episodes of validation."""
    rule, folder = work.config.agent.rule, work.folder / FOLDER
    assert rule is not None
    save_bundle(folder / "bundle", None, config_load.portable(work.config), lineage, norm_stats)
    bundle = load_bundle(folder / "bundle")
    with played_as(rule.policy, RULE):
        seen = watched(work, bundle, split)
    params = POLICIES.parse(rule.policy, rule.params, where=RULE)
    facts = {
        "policy": rule.policy,
        "params": params.model_dump(mode="json"),
        "sha256": rule_of(bundle).sha256,
        "bundle_sha256": bundle.sha256,
        "score": seen.score,
        "behaviour": behaviour.diagnose(seen),
    }
    write_json(work.folder / FACTS, facts)
    return [*(f"{FOLDER}/bundle/{name}" for name in (*FILES, INDEX)), FACTS]


def watched(work: Work, bundle: Bundle, split: SplitArrays) -> behaviour.Watched:
    """A policy on the fixed episodes of validation (``split``)."""
    env, training = make_environment(work.config, split, "backtest"), work.config.training
    starts, length = validate.episode_starts(
        env.spec, env.arrays, training.eval_episodes, work.config.env.episode_bars,
        training.eval_seed,
    )  # fmt: skip
    return behaviour.watch(bundle.network, env, starts, length, split.symbols)


def select_rule(work: Work) -> None:
    """train: the summary of a rule. It is one look on validation: its score there was seen."""
    facts = read_json(work.folder / FACTS)
    work.line(f"the rule {facts['policy']} {facts['behaviour']['text']}")
    summary = {
        "seeds": {},
        "spread": None,
        "chosen_seed": None,
        "chosen": NAME,
        "chosen_by": CHOSEN_BY,
        "ensemble": None,
        "rule": facts,
        "warm_start": None,
    }
    split_sha256 = load_lineage(work.dataset)["split_sha256"]["validation"]
    look = Look(facts["bundle_sha256"], LEDGER_SEED, None, None)
    work.ledger.book_looks(work.run, "validation", split_sha256, [look])
    write_json(work.folder / SUMMARY, summary)
