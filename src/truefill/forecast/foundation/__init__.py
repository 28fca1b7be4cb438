"""Forecasters that fit nothing here: resampled pasts and models that were trained elsewhere
(docs/forecasting.md)."""

from truefill.forecast.foundation import block_bootstrap as block_bootstrap
from truefill.forecast.foundation import chronos_bolt as chronos_bolt
from truefill.forecast.foundation.cutoff import contaminated_rows as contaminated_rows
