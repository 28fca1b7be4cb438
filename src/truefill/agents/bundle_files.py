"""The files of a policy bundle, and what they say of it without its weights: nothing here makes an
array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from truefill.agents.ensemble import Rule
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import ArtifactError
from truefill.core.files import read_json
from truefill.core.fingerprint import fingerprint, sha256_file
from truefill.env.episodes import EnvSpec
from truefill.env.setup import spec_for

WEIGHTS = "weights.safetensors"
NORMALIZER = "norm_stats.json"
CONTRACT = "contract.json"
CONFIG = "config.json"
INDEX = "bundle.json"
FILES = (WEIGHTS, NORMALIZER, CONTRACT, CONFIG)
MEMBERS = "members"
"""Folder of an ensemble's bundle with a bundle each."""


@dataclass(frozen=True)
class Facts:
    """What a bundle is made for."""

    config: Config
    contract: dict[str, Any]
    """Feature contract, symbols and session, as in the dataset's lineage."""
    norm_stats: dict[str, dict[str, float]]
    spec: EnvSpec
    sha256: str

    @property
    def contract_sha256(self) -> str:
        return str(self.contract["contract_sha256"])


@dataclass(frozen=True)
class Files:
    """A bundle's facts and, every hash verified, where its weights lie."""

    facts: Facts
    weights: tuple[Path, ...]
    """One file; of an ensemble one a member."""
    rule: Rule | None
    """Of an ensemble."""


def read_files(folder: Path) -> Files:
    """Verify every file of a bundle and read all but its weights.

    Raises:
        ArtifactError: a file is missing or changed, or an ensemble's members do not belong
            together.
    """
    index = read_json(folder / INDEX)
    files = index.get("files") if isinstance(index, dict) else None
    if not isinstance(files, dict):
        raise ArtifactError("not the index of a bundle", where=str(folder / INDEX))
    if "ensemble" in index:
        return _read_ensemble(folder, index)
    _verify(folder, {name: files.get(name) for name in FILES})
    config = parse_config(read_json(folder / CONFIG), where=str(folder / CONFIG))
    contract = read_json(folder / CONTRACT)
    facts = Facts(
        config=config,
        contract=contract,
        norm_stats=read_json(folder / NORMALIZER),
        spec=spec_for(config, tuple(contract["symbols"]), len(contract["features"])),
        sha256=fingerprint(index),
    )
    return Files(facts, (folder / WEIGHTS,), None)


def _verify(folder: Path, files: Mapping[str, Any]) -> None:
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError("the bundle's file is missing", where=str(path))
        if sha256_file(path) != expected:
            raise ArtifactError("the file does not match its hash", where=str(path))


def _read_ensemble(folder: Path, index: dict[str, Any]) -> Files:
    """The members in the order of the index, which is that of their seeds."""
    names, rule = index.get("members"), index["ensemble"]
    if not names or sorted(names) != sorted(index["files"]) or rule not in get_args(Rule):
        raise ArtifactError("not the index of an ensemble", where=str(folder / INDEX))
    _verify(folder, index["files"])
    members = [read_files((folder / name).parent) for name in names]
    first = members[0].facts
    for name, member in zip(names, members, strict=True):
        own = member.facts
        alike = (own.config, own.contract, own.norm_stats) == (
            first.config, first.contract, first.norm_stats
        )  # fmt: skip
        if member.rule is not None or not alike:
            raise ArtifactError(
                "members of an ensemble share config, contract and normalizer; this one does not "
                "share the first one's",
                where=str(folder / name),
            )
    facts = Facts(
        config=first.config,
        contract=first.contract,
        norm_stats=first.norm_stats,
        spec=first.spec,
        sha256=fingerprint(index),
    )
    return Files(facts, tuple(path for member in members for path in member.weights), rule)
