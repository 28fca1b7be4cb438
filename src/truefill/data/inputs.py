"""Everything a dataset is made of, read and checked, before anything is computed of it.

Reading is one step and building another, so that the auditor can change what is read and build
again: :func:`truefill.features.build.build` is a function of a config and of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from truefill.config.data import DataConfig
from truefill.data.bars import AllBars, read_all_bars
from truefill.data.join import Series, read_series
from truefill.data.read import InputFile


@dataclass(frozen=True)
class Inputs:
    """``bars``: all symbols' bars, also outside the session and the splits; ``series``: slow series
    by name; ``files``: of the series."""

    bars: AllBars
    series: Mapping[str, Series] = field(default_factory=dict)
    files: tuple[InputFile, ...] = ()


def read_inputs(data: DataConfig, extra: Iterable[str] = ()) -> Inputs:
    """Read every bar and every slow series; ``extra``: further columns of the bars to keep.

    Raises ``ConfigError`` or ``DataError`` for the first defect.
    """
    series, files = read_series(data.series)
    return Inputs(read_all_bars(data, extra), series, tuple(files))
