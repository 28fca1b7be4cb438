"""Everything a dataset is made of, read and checked, before anything is computed of it.

Reading is one step and building another, so that the auditor can change what is read and build
again: :func:`truefill.features.build.build` is a function of a config and of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from truefill.config.data import DataConfig
from truefill.core.errors import ConfigError
from truefill.data.bars import AllBars, known_rows, read_all_bars
from truefill.data.defects import Finding, Findings
from truefill.data.join import Series, read_series
from truefill.data.read import InputFile
from truefill.data.releases import Releases, read_releases
from truefill.data.synthetic import synthetic_series


@dataclass(frozen=True)
class Inputs:
    """``bars``: all symbols' bars, also outside the session and the splits; ``series``: slow series
    by name; ``releases``: economic calendars; ``files``: of series and calendars."""

    bars: AllBars
    series: Mapping[str, Series] = field(default_factory=dict)
    releases: tuple[Releases, ...] = ()
    files: tuple[InputFile, ...] = ()


def read_inputs(data: DataConfig, extra: Iterable[str] = ()) -> Inputs:
    """Read every bar, slow series and economic calendar; ``extra``: further columns of the bars.

    Raises ``ConfigError``, or ``DataError`` for the first defect that ``data.defects`` does not let
    pass; it says how many more there are.
    """
    found = Findings(data.defects, known_rows(data.splits))
    inputs: Inputs | None = None
    with found.noting():
        inputs = examine_inputs(data, extra, found)
    found.require()
    assert inputs is not None  # noted and required otherwise
    return inputs


def survey(
    data: DataConfig, extra: Iterable[str] = ()
) -> tuple[Inputs | None, tuple[Finding, ...]]:
    """Every finding in every file, errors too; the inputs where there is no error among them."""
    found = Findings(data.defects, known_rows(data.splits))
    inputs: Inputs | None = None
    with found.noting():
        inputs = examine_inputs(data, extra, found)
    return None if found.errors else inputs, tuple(found.found)


def examine_inputs(data: DataConfig, extra: Iterable[str], found: Findings) -> Inputs:
    """All inputs, with what is ``found`` in them; raises what makes going on impossible."""
    bars = read_all_bars(data, extra, found)
    series, files = read_series(data.series, found)
    series = _with_leader(series, data)
    releases, calendars = read_releases(data.releases)
    return Inputs(
        bars=bars,
        series=series,
        releases=releases,
        files=(*files, *calendars),
    )


def _with_leader(series: Mapping[str, Series], data: DataConfig) -> dict[str, Series]:
    """``series`` and those that a synthetic market brings along."""
    own = synthetic_series(data)
    twice = sorted(own.keys() & series.keys())
    if twice:
        raise ConfigError(
            f"the synthetic market brings a series {twice[0]!r} of its own",
            where="data.series",
            do="give yours another name",
        )
    return {**series, **own}
