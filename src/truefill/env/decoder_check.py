"""The config's action decoder, and whether the market lets every symbol do what it orders."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from truefill.config.schema import Config
from truefill.config.symbol_rules import Rules
from truefill.core.errors import ConfigError
from truefill.core.registry import Params
from truefill.env.decoders import DECODERS, Decoder

RulesBySymbol = Mapping[str, Rules]
"""One entry under "" where no symbol is known."""


def make_decoder(config: Config, symbols: tuple[str, ...] | None = None) -> Decoder:
    """The config's action decoder, checked against the rules of every symbol.

    Args:
        symbols: those that trade. None, or placeholders (an estimate, before data are read): the
            symbols that the config names are checked; where it names none, the market's rules.

    Raises:
        ConfigError: unknown decoder or parameters; a symbol may not do what the decoder orders.
    """
    action = config.env.action
    params = DECODERS.parse(action.kind, action.params, where="env.action")
    decoder = _decoder(action.kind, params)
    rules = _rules(config, symbols)
    long_only = [name for name, own in rules.items() if not own.allow_short]
    if decoder.needs_short and long_only:
        raise ConfigError(
            f"decoder {action.kind!r} goes short, but allow_short is false{_of(long_only)}",
            where="env.action.kind",
            do="set market.allow_short: true (or that of the symbol or its class), use long_only "
            "where the decoder has it, or flat_long",
        )
    _check_band(decoder, action.kind, rules)
    _check_limits(decoder, config, rules)
    return decoder


def _rules(config: Config, symbols: tuple[str, ...] | None) -> RulesBySymbol:
    """Rules by symbol. Symbols without those that have rules of their own are placeholders."""
    market = config.market
    if symbols is None or not set(market.symbols) <= set(symbols):
        named = {bars.symbol for bars in config.data.bars if bars.symbol is not None}
        symbols = tuple(sorted(named | set(market.symbols))) or ("",)
    return {symbol: market.rules_for(symbol) for symbol in symbols}


def _of(names: list[str]) -> str:
    """Which symbols, for a message; nothing where none is known."""
    return f" for {', '.join(names)}" if any(names) else ""


def _check_band(decoder: Decoder, kind: str, rules: RulesBySymbol) -> None:
    """Refuse a band of 0 under weight orders, and one that swallows their steps."""
    without = [name for name, own in rules.items() if own.no_trade_band == 0.0]
    if decoder.needs_band and without:
        raise ConfigError(
            f"decoder {kind!r} orders a weight at every decision, so drift alone would "
            f"trade on every bar{_of(without)}",
            where="market.no_trade_band",
            do="set market.no_trade_band (or that of the symbol or its class), e.g. 0.05",
        )
    step = decoder.min_step
    if step is None:
        return
    wide = [name for name, own in rules.items() if own.no_trade_band >= step]
    if wide:
        band = max(rules[name].no_trade_band for name in wide)
        raise ConfigError(
            f"decoder {kind!r} has sizes {step:g} apart, and a no-trade band of {band:g} would "
            f"keep the position from moving between them{_of(wide)}",
            where="market.no_trade_band",
            do=f"set it below {step:g}",
        )


def _check_limits(decoder: Decoder, config: Config, rules: RulesBySymbol) -> None:
    """Refuse weights that the market would cut."""
    kind, weight, gross = config.env.action.kind, decoder.max_weight, decoder.max_gross
    low = [name for name, own in rules.items() if weight is not None and weight > own.max_weight]
    if low:
        allowed = min(rules[name].max_weight for name in low)
        raise ConfigError(
            f"decoder {kind!r} orders weights of up to {weight:g} x equity, but max_weight "
            f"allows {allowed:g}{_of(low)}",
            where="env.action.params",
            do=f"lower it in env.action.params, or set market.max_weight: {weight:g} "
            "(or that of the symbol or its class)",
        )
    if gross is not None and gross > config.market.max_leverage:
        raise ConfigError(
            f"decoder {kind!r} orders a gross exposure of up to {gross:g} x equity, but "
            f"market.max_leverage allows {config.market.max_leverage:g}",
            where="env.action.params",
            do=f"lower it in env.action.params, or set market.max_leverage: {gross:g}",
        )


@cache
def _decoder(kind: str, params: Params) -> Decoder:
    """One object per decoder and parameters: equal specs are equal, and compile once."""
    return DECODERS.get(kind).make(params)
