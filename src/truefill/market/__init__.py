"""The one market: pure functions over explicit state. Money is float64."""

import jax

jax.config.update("jax_enable_x64", True)
