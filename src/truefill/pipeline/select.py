"""The end of training: compare the seeds on validation, choose one or let them act together, and
say what each policy does."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from truefill.agents import behaviour
from truefill.agents.bundle import load_bundle, save_ensemble
from truefill.agents.ensemble import NAME, RULES, SEED, Rule
from truefill.agents.train import chosen_seed
from truefill.config import load as config_load
from truefill.config.schema import Config
from truefill.core.files import read_json, write_json, write_text
from truefill.evaluation.uncertainty import seed_spread
from truefill.pipeline.behaviours import SUMMARY
from truefill.pipeline.ledger import Look
from truefill.pipeline.rule import select_rule, watched

if TYPE_CHECKING:
    from truefill.pipeline.stages import Work

CHOSEN_BY = "mean net log return on the fixed validation episodes (not the training reward)"
COPIED = ("best_score", "best_step", "steps", "stopped", "policy_sha256", "behaviour")


def select(work: Work) -> list[str]:
    """train: compare the seeds on validation and choose one, or make their ensemble. Every
    evaluation that chose between policies, within a seed and between seeds, is a look
    (docs/verdict.md), and so is that of the ensemble."""
    write_text(work.folder / "config.yaml", _portable_yaml(work.config))
    if work.config.agent.rule is not None:
        select_rule(work)
        return [SUMMARY, "config.yaml"]
    training = work.config.training
    results = {s: read_json(work.folder / f"train/seed-{s}/training.json") for s in training.seeds}
    spread = seed_spread([result["best_score"] for result in results.values()])
    chosen = chosen_seed({seed: result["best_score"] for seed, result in results.items()})
    if spread.warning:
        work.line(spread.warning)
    summary = {
        "seeds": {str(s): {key: found[key] for key in COPIED} for s, found in results.items()},
        "spread": spread.to_dict(),
        "chosen_seed": chosen,
        "chosen": f"seed-{chosen}",
        "chosen_by": CHOSEN_BY,
        "ensemble": None,
        "rule": None,
        "warm_start": results[chosen]["warm_start"],
    }
    looks = [look for seed, result in results.items() for look in _selection(work, seed, result)]
    files = [SUMMARY, "config.yaml"]
    shutil.rmtree(work.folder / "train" / NAME, ignore_errors=True)
    for seed, found in results.items():
        work.line(f"seed {seed} {found['behaviour']['text']}")
    if training.ensemble is not None:
        facts, names = _ensemble(work, training.ensemble)
        by = (
            f"training.ensemble: {training.ensemble} of {len(results)} seeds, none of them selected"
        )
        summary |= {"ensemble": facts, "chosen": NAME, "chosen_by": by}
        looks.append(Look(facts["bundle_sha256"], SEED, None, None))
        files += names
    split_sha256 = work.lineage["split_sha256"]["validation"]
    work.ledger.book_looks(work.run, "validation", split_sha256, looks)
    write_json(work.folder / SUMMARY, summary)
    return files


def _selection(work: Work, seed: int, training: dict[str, Any]) -> list[Look]:
    """A look for every evaluation of a seed's training; the best policy's is that of its bundle."""
    best = load_bundle(work.folder / f"train/seed-{seed}/bundle").sha256
    steps = [round(evaluation["step"]) for evaluation in training["evaluations"]]
    passing = [step for step in steps if step != round(training["best_step"])]
    return [Look(name, seed, None, None) for name in (best, *(f"step {step}" for step in passing))]


def _ensemble(work: Work, rule: Rule) -> tuple[dict[str, Any], list[str]]:
    """Save the ensemble of all seeds; its facts on the fixed validation episodes, and its files."""
    folder, config = work.folder / "train" / NAME, work.config
    seeds = sorted(config.training.seeds)
    members = {seed: work.folder / f"train/seed-{seed}/bundle" for seed in seeds}
    names = save_ensemble(folder, members, rule)
    bundle = load_bundle(folder)
    seen = watched(work, bundle, work.split("validation"))
    found = behaviour.diagnose(seen)
    agreement = behaviour.agreement(seen, seeds)
    work.line(
        f"the ensemble {found['text']}; all {len(seeds)} members agree on "
        f"{agreement['unanimous'] * 100:.1f} % of decisions"
    )
    facts = {
        "rule": rule,
        "rule_is": RULES[rule],
        "members": seeds,
        "bundle_sha256": bundle.sha256,
        "score": seen.score,
        "agreement": agreement,
        "behaviour": found,
    }
    return facts, [f"train/{NAME}/{name}" for name in names]


PORTABLE = """\
# The resolved config of this run. Data files go by name only, so that equal runs have equal bytes:
# to run it again elsewhere, put the files beside it or --set data.bars.0.path=...
"""


def _portable_yaml(config: Config) -> str:
    text = config_load.dump_config(config_load.parse_config(config_load.portable(config)))
    return PORTABLE + text
