"""What markets out of real bars share: the file, and each bar's shape seen from the last close."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from truefill.config.sources import BarsFile
from truefill.core.errors import DataError, UsageError
from truefill.core.registry import Params
from truefill.data.read import read_bars
from truefill.data.synthetic.base import Floats, World


class RealParams(Params):
    """A file of real bars at ``data.interval``, of one symbol."""

    file: BarsFile = Field(description="the file, as an entry of data.bars")


@dataclass(frozen=True)
class RealBars:
    """Per bar, f64[n]: log of close, high and low over the last close (its gap is inside them), and
    the volume."""

    close: Floats
    high: Floats
    low: Floats
    volume: Floats


def real_bars(p: RealParams, world: World) -> RealBars:
    """The first ``bars`` returns of the file.

    Raises:
        DataError: a defect of the file, or ``too_few_bars``.
        UsageError: it holds several symbols.
    """
    table, file = read_bars(p.file, interval_s=world.interval_s)
    symbols = table["symbol"].unique().sort().to_list()
    if len(symbols) != 1:
        raise UsageError(
            f"{file.name} holds {len(symbols)} symbols", where="data.synthetic.params.file",
            do="give a file of one symbol",
        )  # fmt: skip
    if table.height <= world.bars:
        raise DataError(
            "too_few_bars",
            f"{file.name} has {table.height - 1:,} returns, {world.bars:,} bars are asked for",
            where="data.synthetic.bars",
            do="ask for fewer bars",
        )
    close, high, low, volume = (
        np.asarray(table[name].to_numpy()[: world.bars + 1], np.float64)
        for name in ("close", "high", "low", "volume")
    )
    before = close[:-1]
    return RealBars(
        close=np.log(close[1:] / before),
        high=np.log(np.maximum(high[1:], before) / before),
        low=np.log(np.minimum(low[1:], before) / before),
        volume=volume[1:],
    )
