"""What a study leaves: trials.parquet, study.json and best.yaml."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from truefill.config.load import dump_tree, parse_config, paths_from
from truefill.config.space import put
from truefill.core.files import write_json, write_parquet, write_text
from truefill.data.dataset import load_lineage
from truefill.pipeline.artifacts import Manifest
from truefill.pipeline.ledger import LEDGER, Ledger
from truefill.pipeline.tune import Plan, TuneResult
from truefill.tuning import result
from truefill.tuning.search import Store, search_facts

STAGE = "tune"
STUDY, TABLE, BEST = "study.json", "trials.parquet", "best.yaml"
HEADER = """\
# {name} with the values of trial {trial} of the study in this folder.
# Data files count from here: `truefill run` takes this file where it lies.
"""


def write_result(plan: Plan, folder: Path, store: Store, manifest: Manifest) -> TuneResult:
    """Write the result files; best.yaml, which says where the data lie, is not hashed."""
    trials = store.trials()
    space = plan.space.free
    rows = result.table(trials, space)
    best = result.best(trials, space)
    facts = {
        "study": folder.name,
        "objective": plan.search.objective,
        "search": search_facts(plan.search),
        "space": {
            key: d.model_dump(mode="json", exclude_defaults=True) for key, d in space.items()
        },
        "seeds": list(plan.seeds),
        "sampler_seed": plan.seed,
        "fixed": plan.space.fixed,
        "states": dict(sorted(Counter(row["state"] for row in rows).items())),
        "best": best,
        "regret": result.regret(trials, plan.search),
        "importance": result.importance(trials, space),
        "looks": _looks(plan, folder),
        "trials": rows,
    }
    write_json(folder / STUDY, facts)
    write_parquet(folder / TABLE, result.frame(rows, trials))
    manifest.record(STAGE, plan.identity, [STUDY, TABLE])
    path = folder / BEST
    if best is None:
        path.unlink(missing_ok=True)
        return TuneResult(folder, facts, None)
    write_text(path, HEADER.format(name=plan.config.name, **best) + best_yaml(plan, folder, best))
    return TuneResult(folder, facts, path)


def best_yaml(plan: Plan, folder: Path, best: dict[str, Any]) -> str:
    """What the config sets, with the winner's values."""
    tree = plan.config.model_dump(mode="json", exclude_unset=True)
    tree = paths_from(folder.resolve(), put(tree, best["values"]))
    parse_config(tree, where=BEST)
    return dump_tree(tree)


def _looks(plan: Plan, folder: Path) -> dict[str, int]:
    """Policies evaluated on this validation split: by this study, and by all runs together."""
    ledger = Ledger(folder.parent / LEDGER)
    split_sha256 = load_lineage(folder / "dataset")["split_sha256"]["validation"]
    looks = [look for look in ledger.looks() if look["split_sha256"] == split_sha256]
    own = sum(look["run"] == plan.identity for look in looks)
    return {"study": own, "on_validation": len(looks)}
