"""A tiny Chronos-Bolt model with random weights, for tests of loading and asking."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

MISSING = "needs the extra foundation (chronos-forecasting), which is not installed"
CUTOFF = "1969-12-31"
"""Before every bar of the tests."""


def has_chronos() -> bool:
    return importlib.util.find_spec("chronos") is not None


def save_tiny_bolt(
    folder: Path, *, seed: int = 0, context: int = 64, width: int = 16, layers: int = 1
) -> str:
    """A model that tells 8 steps, saved to ``folder``; its name."""
    import torch
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config

    torch.manual_seed(seed)
    asked: dict[str, Any] = {
        "context_length": context,
        "prediction_length": 8,
        "input_patch_size": 8,
        "input_patch_stride": 8,
        "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        "use_reg_token": True,
    }
    config = T5Config(
        d_model=width,
        d_kv=width // 2,
        d_ff=2 * width,
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=2,
        feed_forward_proj="relu",
        is_encoder_decoder=True,
        decoder_start_token_id=0,
        pad_token_id=0,
        chronos_config=asked,
        architectures=["ChronosBoltModelForForecasting"],
        chronos_pipeline_class="ChronosBoltPipeline",
    )
    ChronosBoltModelForForecasting(config).save_pretrained(folder)
    return str(folder)
