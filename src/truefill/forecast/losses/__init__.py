"""Losses of forecasters (docs/forecast-skill.md). A new one is a function and a frozen parameter
class."""

from truefill.forecast.losses import classes as classes
from truefill.forecast.losses import errors as errors
from truefill.forecast.losses import positions as positions
from truefill.forecast.losses.base import LOSSES as LOSSES
from truefill.forecast.losses.base import TargetFacts as TargetFacts
from truefill.forecast.losses.build import PRESETS as PRESETS
from truefill.forecast.losses.build import Loss as Loss
from truefill.forecast.losses.build import build_loss as build_loss
