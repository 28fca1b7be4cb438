"""Facts about the symbol itself: constant on its rows, different between symbols.

The dead-feature check looks at the train rows of all symbols together, so such a feature is alive
where symbols differ in it, and refused in a dataset of one symbol.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from truefill.core.errors import ConfigError, did_you_mean
from truefill.core.registry import Params
from truefill.features.base import Context, Floats, calculator


class IsSymbolParams(Params):
    """1 on the rows of one symbol, 0 on the others: a one-hot column."""

    symbol: str = Field(description="the symbol")


@calculator(
    "is_symbol", IsSymbolParams, unit="0 or 1", source="the symbol's name",
    crosses_session=False, normalized=True,
)  # fmt: skip
def is_symbol(p: IsSymbolParams, bars: Context) -> Floats:
    """1 where the bars are those of ``symbol``."""
    return np.full(len(bars), 1.0 if bars.symbol == p.symbol else 0.0)


class TokenParams(Params):
    """A number given for each symbol (a market-cap tier, a listing year)."""

    values: dict[str, float] = Field(min_length=1, description="symbol -> its number")


@calculator(
    "token", TokenParams, unit="as given", source="the mapping in the config",
    crosses_session=False,
)  # fmt: skip
def token(p: TokenParams, bars: Context) -> Floats:
    """The symbol's number; a symbol without one is a ``ConfigError``."""
    if bars.symbol not in p.values:
        raise ConfigError(
            f"token has no value for the symbol {bars.symbol!r}",
            where="features, token: values",
            do=did_you_mean(bars.symbol, p.values),
        )
    return np.full(len(bars), p.values[bars.symbol])
