"""Several forecasts made one: their mean, their mean weighted by past scores, or a model of them.

What is fitted is fitted on out-of-fold forecasts of train rows. The forecast of a train row itself
is again out-of-fold: rows of fold k are combined by what was fitted on the folds before it (causal)
or on the other folds (k-fold), less the rows whose answer or window reaches into fold k. Where that
leaves fewer than :data:`LEAST_ROWS` rows a number to fit - always in the first fold of a walk - the
combination is the mean, and says so. Later splits are combined by what all out-of-fold rows gave,
without a refit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

from truefill.core.errors import ConfigError, DataError, UsageError
from truefill.forecast.baselines.base import Forecast
from truefill.forecast.combination import Combination, common, fit_combination, numbers_of
from truefill.forecast.kinds import quantile_levels, require_kind, rows_of
from truefill.forecast.labels.base import Bools, Floats, Ints
from truefill.forecast.scores import Kind

Rule = Literal["mean", "weighted", "stacked"]
STACKED: tuple[Kind, ...] = ("class", "real")
LEAST_ROWS = 30


@dataclass(frozen=True)
class Answers:
    """Out-of-fold rows, all [n], in the order of the forecasts. ``value`` f64: the label (of
    positions: the return that can be traded), NaN where null; ``at_s`` i64: bar starts;
    ``start_s``: of the oldest bar that a row's window, features and label look at; ``end_s``: of
    the last bar its label looks at; ``fold``: who forecast it."""

    value: Floats
    at_s: Ints
    start_s: Ints
    end_s: Ints
    fold: Ints


@dataclass(frozen=True)
class FittedEnsemble:
    """An ensemble that forecasts. ``whole``: fitted on all out-of-fold rows; ``folds``: who
    combined each fold's rows; ``train_forecast``: of these rows, None of one that was loaded."""

    kind: Kind
    rule: Rule
    whole: Combination
    folds: Mapping[int, Combination] = field(default_factory=dict)
    train_forecast: Forecast | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """Names, in the order of weights."""
        return self.whole.members

    def combine(self, members: Mapping[str, Forecast]) -> Forecast:
        """The forecast of rows outside train, of all members' forecasts of them.

        Raises:
            UsageError: a member is missing. ConfigError: members of different kinds.
        """
        missing = [name for name in self.members if name not in members]
        if missing:
            raise UsageError(f"the ensemble has no forecast of {', '.join(missing)}")
        chosen = {name: members[name] for name in self.members}
        require_alike(chosen, self.kind)
        return self.whole.combine(chosen)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: everything but ``train_forecast``."""
        return {
            "kind": self.kind,
            "rule": self.rule,
            "whole": self.whole.to_dict(),
            "folds": {str(fold): own.to_dict() for fold, own in self.folds.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What :meth:`to_dict` gave; combines to the same bits."""
        folds = {int(fold): Combination.from_dict(own) for fold, own in data["folds"].items()}
        whole = Combination.from_dict(data["whole"])
        return cls(data["kind"], data["rule"], whole, folds)


def fit_ensemble(
    rule: Rule,
    members: Mapping[str, Forecast],
    answers: Answers,
    kind: Kind,
    *,
    causal: bool,
    embargo_s: int = 0,
) -> FittedEnsemble:
    """Fit an ensemble on out-of-fold forecasts.

    Args:
        members: by name, of the n rows of ``answers``.
        causal: rows of fold k are combined by folds before it alone; else by all others, those
            after it at least ``embargo_s`` seconds behind.

    Raises:
        ConfigError: members of different kinds; ``stacked`` of quantiles or positions, which have
            no squared error or log loss to lower.
        DataError: a forecast is not finite, or no row has an answer.
        UsageError: no member.
    """
    if rule == "stacked" and kind not in STACKED:
        raise ConfigError(
            f"members that forecast a {kind} cannot be stacked",
            where="forecast.ensemble.rule",
            do="take mean or weighted",
        )
    require_alike(members, kind)
    known = np.isfinite(answers.value)
    _require_rows(members, answers, known)
    whole = _fitted(rule, members, answers, kind, known)
    combined, folds = [], {}
    order = np.argsort(answers.fold, kind="stable")
    for fold in np.unique(answers.fold):
        mine = answers.fold == fold
        others = known & _clear_of(answers, mine, int(fold), causal, embargo_s)
        folds[int(fold)] = _fitted(rule, members, answers, kind, others)
        own = {name: rows_of(found, mine) for name, found in members.items()}
        combined.append(folds[int(fold)].combine(own))
    return FittedEnsemble(kind, rule, whole, folds, _in_order(combined, order))


def mean_of(forecasts: Sequence[Forecast], kind: Kind) -> Forecast:
    """Equally weighted, e.g. the seeds of one member: mean probabilities, values and extras."""
    members = {str(number): found for number, found in enumerate(forecasts)}
    require_alike(members, kind)
    return Combination.mean(kind, tuple(members)).combine(members)


def one_kind(kinds: Mapping[str, Kind]) -> Kind:
    """The kind of all members.

    Raises:
        ConfigError: they are of several.
    """
    if len(set(kinds.values())) != 1:
        told = ", ".join(f"{name} a {kind}" for name, kind in kinds.items())
        raise ConfigError(
            f"members of an ensemble forecast different things: {told}",
            where="forecast.ensemble.members",
            do="give them losses of one kind, or leave some out of the ensemble",
        )
    return next(iter(kinds.values()))


def require_alike(members: Mapping[str, Forecast], kind: Kind) -> None:
    """Refuse members that do not forecast the same.

    Raises:
        ConfigError: they do not. UsageError: there is none.
    """
    if not members:
        raise UsageError("an ensemble needs a member")
    first = next(iter(members.values()))
    for name, found in members.items():
        require_kind(name, found, kind, quantile_levels(first))
        if kind == "class" and found.probability is None:
            raise ConfigError("gives no probabilities of classes", where=f"forecaster {name}")


def _fitted(
    rule: Rule, members: Mapping[str, Forecast], answers: Answers, kind: Kind, rows: Bools
) -> Combination:
    """The rule's combination of these rows; the mean where they are too few."""
    names, count = tuple(members), int(rows.sum())
    if rule == "mean" or count < LEAST_ROWS * numbers_of(rule, kind, len(names)):
        return Combination.mean(kind, names)
    own = {name: rows_of(found, rows) for name, found in members.items()}
    return fit_combination(rule, own, answers.value[rows], kind)


def _clear_of(answers: Answers, mine: Bools, fold: int, causal: bool, embargo_s: int) -> Bools:
    """bool[n]: rows of other folds that share nothing with the rows ``mine``."""
    before = answers.end_s < answers.at_s[mine].min()
    if causal:
        return np.asarray((answers.fold < fold) & before, np.bool_)
    after = answers.start_s > answers.end_s[mine].max() + embargo_s
    return np.asarray((answers.fold != fold) & (before | after), np.bool_)


def _in_order(parts: Sequence[Forecast], order: Ints) -> Forecast:
    """Forecasts of the rows ``order``, part after part, put in the order of rows."""
    back = np.argsort(order, kind="stable")
    shares = [own.probability for own in parts if own.probability is not None]
    return Forecast(
        np.concatenate([own.value for own in parts])[back],
        np.concatenate(shares)[back] if shares else None,
        {name: np.concatenate([own.extra[name] for own in parts])[back] for name in common(parts)},
    )


def _require_rows(members: Mapping[str, Forecast], answers: Answers, known: Bools) -> None:
    for name, found in members.items():
        said = found.value if found.probability is None else found.probability
        if len(said) != len(answers.value):
            raise DataError("paired", f"{len(said)} rows of {name} against {len(answers.value)}")
        if not np.isfinite(said).all():
            raise DataError("null", f"a forecast of {name} is not finite")
    if not known.any():
        raise DataError("no_label", "no out-of-fold row has an answer")
