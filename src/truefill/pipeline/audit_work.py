"""The worker's part of an audit: one group of checks on one config."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from shutil import rmtree
from typing import Any

from truefill.audit.case import Case
from truefill.audit.chain import Chain
from truefill.audit.checks import AUDITS
from truefill.pipeline.stages import Work, parse_config

SCRATCH = "audit"
"""Folder in the run's for short trainings; removed when a group is done."""
PARTS = 1_000
"""Progress is told in thousandths of a group."""


def audit(work: Work, group: str, quick: bool) -> list[dict[str, Any]]:
    """What every check of a group did and found."""
    scratch = work.folder / SCRATCH / group
    scratch.mkdir(parents=True, exist_ok=True)
    case = _case(work.config.model_dump_json(), quick, scratch.parent)
    names = checks_of(group)
    told = 0
    out = []

    for number, name in enumerate(names):

        def progress(done: int, planned: int, number: int = number) -> None:
            nonlocal told
            share = int(PARTS * (number + min(done / planned, 1.0)) / len(names))
            if share > told:
                told = share
                work.progress(share, None)

        check = AUDITS[name]
        out.append(check(case, progress).as_dict(check.proves))
    rmtree(scratch, ignore_errors=True)
    work.progress(PARTS, None)
    return out


@lru_cache(maxsize=1)
def _case(config: str, quick: bool, scratch: Path) -> Case:
    """The case of this worker; what its groups share is made once."""
    return Case(parse_config(config), Chain(), scratch, quick=quick)


def groups(work: Work) -> list[str]:
    """Names of the groups of checks, in the order of the chain."""
    return list(dict.fromkeys(name.split("/")[0] for name in AUDITS))


def checks_of(group: str) -> list[str]:
    """Names of the checks of a group."""
    return [name for name in AUDITS if name.split("/")[0] == group]


STAGES: dict[str, Callable[..., Any]] = {"audit": audit, "audit groups": groups}
"""What a worker can be asked to do for an audit."""
