"""Who forecasts which rows: a forecast of a train row comes from a model that never saw its answer.

Walk-forward: the train times after the first ``least_train`` share are cut into equal blocks; each
is forecast by a model fitted on what lies before it, less the rows whose label reaches into the
block. K-fold: all times are blocks; each is forecast by a model of the other rows, purged on both
sides (:mod:`truefill.data.folds`); such forecasts look both ways and are for training only. Rows of
later splits are forecast by fold 0, which is fitted on all of train.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from truefill.config.forecast import LabelConfig, ProtocolConfig
from truefill.core.errors import DataError
from truefill.core.registry import Params
from truefill.data.folds import Fold, Rows, purged_k_fold, walk_forward
from truefill.forecast.labels.base import FittedLabel, Ints, fit_label, label_heads
from truefill.forecast.material import Material

WHOLE = 0
"""The fold that is fitted on all of train and forecasts later splits."""


@dataclass(frozen=True)
class FoldRows:
    """One fold. ``fitted`` and ``asked``: by symbol, positions of its own bars in the train split,
    ascending; the fold 0 asks none of them. ``begin_s``, ``end_s``: first and last bar start that
    it forecasts (0, 0 of fold 0); ``known_s``: latest label end among the fitted rows."""

    number: int
    fitted: tuple[Ints, ...]
    asked: tuple[Ints, ...]
    begin_s: int
    end_s: int
    known_s: int

    def to_dict(self) -> dict[str, Any]:
        """What plan.json says of it."""
        return {
            "fold": self.number,
            "fitted_rows": sum(map(len, self.fitted)),
            "asked_rows": sum(map(len, self.asked)),
            "begin_s": self.begin_s,
            "end_s": self.end_s,
            "known_s": self.known_s,
        }


@dataclass(frozen=True)
class Question:
    """The label of every horizon, before any threshold is fitted."""

    name: str
    heads: tuple[Params, ...]

    @staticmethod
    def of(config: LabelConfig) -> Question:
        """As the config asks."""
        return Question(config.label, label_heads(config))

    def fitted(self, material: Material, rows: Sequence[Ints]) -> tuple[FittedLabel, ...]:
        """The labels, a head each, with thresholds of these rows (by symbol) alone."""
        bars = {own.symbol: own.bars for own in material.histories}
        masks = {}
        for own, chosen in zip(material.histories, rows, strict=True):
            masks[own.symbol] = np.zeros(len(own.bars), np.bool_)
            masks[own.symbol][chosen] = True
        return tuple(fit_label(self.name, head, bars, masks) for head in self.heads)


def plan_rows(
    material: Material, question: Question, config: ProtocolConfig, *, reach_bars: int
) -> tuple[FoldRows, ...]:
    """Fold 0, then the folds of the protocol, oldest first.

    Args:
        material: the train split.
        reach_bars: bars that a row's window and features look back, its own included.

    Raises:
        DataError: ``too_few_folds``, ``empty_fold``, ``no_label``.
    """
    labelled, rows, owner = _rows(material, question, reach_bars)
    whole = FoldRows(
        WHOLE, labelled, tuple(own[:0] for own in labelled), 0, 0, int(rows.label_end.max())
    )
    found, begins = _folds(rows, config)
    ends = [*begins[1:], np.iinfo(np.int64).max]
    flat = np.concatenate(labelled)
    out = [whole]
    for k, (fold, begin, end) in enumerate(zip(found, begins, ends, strict=True)):
        fitted = tuple(flat[fold.train[owner[fold.train] == s]] for s in range(len(labelled)))
        asked = tuple(
            own.rows[(at >= begin) & (at < end)]
            for own in material.histories
            for at in [own.bars.timestamps_s[own.rows]]
        )
        times = np.concatenate(
            [own.bars.timestamps_s[a] for own, a in zip(material.histories, asked, strict=True)]
        )
        known = int(rows.label_end[fold.train].max())
        out.append(FoldRows(k + 1, fitted, asked, int(times.min()), int(times.max()), known))
    return tuple(out)


def _rows(
    material: Material, question: Question, reach_bars: int
) -> tuple[tuple[Ints, ...], Rows, Ints]:
    """By symbol: rows that may be fitted; all of them for the purge; each one's symbol."""
    labels = question.fitted(material, [own.rows for own in material.histories])
    labelled, at, ends, starts, owner = [], [], [], [], []
    for s, own in enumerate(material.histories):
        found = [label.of(own.symbol, own.bars) for label in labels]
        known = np.any([one.known for one in found], axis=0) & material.usable[s]
        rows = own.rows[known[own.rows]]
        stamps = own.bars.timestamps_s
        reach = stamps[np.maximum(rows - (reach_bars - 1), 0)]
        labelled.append(rows)
        at.append(stamps[rows])
        ends.append(np.max([one.end_s[rows] for one in found], axis=0))
        starts.append(np.min([reach, *(one.start_s[rows] for one in found)], axis=0))
        owner.append(np.full(len(rows), s))
    if not sum(map(len, labelled)):
        raise DataError("no_label", f"no row of {material.split} has the label {question.name}")
    flat = Rows(np.concatenate(at), np.concatenate(ends), np.concatenate(starts))
    return tuple(labelled), flat, np.concatenate(owner)


def _folds(rows: Rows, config: ProtocolConfig) -> tuple[Sequence[Fold], list[int]]:
    """The folds, and the first time that each one forecasts (k-fold: from the very first bar)."""
    axis = np.unique(rows.at)
    if config.kind == "k_fold":
        folds = purged_k_fold(rows, folds=config.folds, embargo=config.embargo_bars)
        begins = [int(rows.at[fold.test].min()) for fold in folds]
        return folds, [np.iinfo(np.int64).min, *begins[1:]]
    first = max(int(config.least_train * len(axis)), 1)
    test_bars = (len(axis) - first) // config.folds
    if test_bars < 1:
        raise DataError(
            "too_few_folds",
            f"{len(axis):,} labelled times leave {len(axis) - first:,} for {config.folds} folds",
            where="forecast.out_of_fold",
            do="ask for fewer folds, or a smaller least_train",
        )
    least = len(axis) - config.folds * test_bars
    folds = walk_forward(
        rows,
        folds=config.folds,
        test_bars=test_bars,
        train_bars=least if config.rolling else None,
        least_train_bars=1,
    )
    return folds, [int(rows.at[fold.test].min()) for fold in folds]


def require_unseen(fold: FoldRows, material: Material) -> None:
    """Refuse a walk-forward fold that was fitted on an answer known only after its first forecast.

    Raises:
        DataError: ``in_sample``.
    """
    begin = fold.begin_s
    if fold.number != WHOLE and fold.known_s >= begin:
        raise DataError(
            "in_sample",
            f"fold {fold.number} was fitted on a label that ends at {fold.known_s}, "
            f"its forecasts begin at {begin}",
        )
