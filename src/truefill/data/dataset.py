"""The dataset folder: written once, read back as arrays, its test split sealed.

Files: train.parquet, validation.parquet, test.parquet, norm_stats.json, lineage.json,
descriptive_stats.json, seasonality.json where multipliers were fitted, and folds.json where the
config asks for folds. The statistics of test
rows stay with the test: they are not written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from truefill.core.errors import SealedTestError, UsageError
from truefill.core.files import read_json, read_parquet, write_json, write_parquet
from truefill.data.sessions import Session
from truefill.data.split import SplitArrays, to_arrays
from truefill.data.splits import SPLITS

NORM_STATS = "norm_stats.json"
LINEAGE = "lineage.json"
DESCRIPTIVE = "descriptive_stats.json"
SEASONALITY = "seasonality.json"
FOLDS = "folds.json"
OPEN_SPLITS = ("train", "validation")


class Tables(Protocol):
    """What :func:`write_dataset` needs of a built dataset."""

    @property
    def tables(self) -> dict[str, pl.DataFrame]: ...
    @property
    def norm_stats(self) -> dict[str, dict[str, float]]: ...
    @property
    def lineage(self) -> dict[str, Any]: ...
    @property
    def descriptive(self) -> dict[str, Any]: ...
    @property
    def seasonality(self) -> dict[str, Any] | None: ...
    @property
    def folds(self) -> dict[str, Any] | None: ...


@dataclass(frozen=True)
class TestPermit:
    """Leave to read the test rows once. Only the ledger makes one, after counting the opening."""

    __test__ = False  # pytest: not a test class

    test_sha256: str
    opening: int


def write_dataset(built: Tables, folder: Path) -> list[str]:
    """Write all files (each whole or absent); returns their names. Same dataset, same bytes. A
    dataset without its test rows gives a folder without test.parquet."""
    splits = [name for name in SPLITS if name in built.tables or name in OPEN_SPLITS]
    for name in splits:
        write_parquet(folder / f"{name}.parquet", built.tables[name])
    write_json(folder / NORM_STATS, built.norm_stats)
    write_json(folder / LINEAGE, built.lineage)
    write_json(folder / DESCRIPTIVE, {name: built.descriptive[name] for name in OPEN_SPLITS})
    names = [*(f"{name}.parquet" for name in splits), NORM_STATS, LINEAGE, DESCRIPTIVE]
    if built.seasonality is not None:
        write_json(folder / SEASONALITY, built.seasonality)
        names.append(SEASONALITY)
    if built.folds is not None:
        write_json(folder / FOLDS, built.folds)
        names.append(FOLDS)
    return names


def load_lineage(folder: Path) -> dict[str, Any]:
    """lineage.json of a dataset folder."""
    lineage: dict[str, Any] = read_json(folder / LINEAGE)
    return lineage


def load_split(folder: Path, name: str) -> SplitArrays:
    """``train`` or ``validation`` as arrays; ``SealedTestError`` for ``test``."""
    if name == "test":
        raise SealedTestError(
            "the test split is sealed", where=str(folder), do="only the test stage reads it"
        )
    if name not in OPEN_SPLITS:
        raise UsageError(f"no split is called {name!r}", do="Known: train, validation")
    return _load(folder, name)


def open_test(folder: Path, permit: TestPermit) -> SplitArrays:
    """The test split, for a permit of this very test data; ``SealedTestError`` otherwise."""
    if not isinstance(permit, TestPermit):
        raise SealedTestError("the test split opens with a TestPermit only", where=str(folder))
    if permit.test_sha256 != load_lineage(folder)["test_sha256"]:
        raise SealedTestError("the permit is for other test data", where=str(folder))
    return _load(folder, "test")


def _load(folder: Path, name: str) -> SplitArrays:
    lineage = load_lineage(folder)
    return to_arrays(
        name,
        read_parquet(folder / f"{name}.parquet"),
        symbols=lineage["symbols"],
        feature_names=[feature["name"] for feature in lineage["features"]],
        session=Session.from_dict(lineage["session"]),
        interval_s=lineage["interval_s"],
        market_columns=lineage["market_columns"],
        closed_by=lineage["no_trade"]["rules_sha256"],
    )
