"""What every forecaster is compared with (docs/forecast-skill.md)."""

from truefill.forecast.baselines import boosting as boosting
from truefill.forecast.baselines import linear as linear
from truefill.forecast.baselines import naive as naive
from truefill.forecast.baselines import scaled_walk as scaled_walk
from truefill.forecast.baselines.base import FORECASTERS as FORECASTERS
from truefill.forecast.baselines.base import Fitted as Fitted
from truefill.forecast.baselines.base import Forecast as Forecast
from truefill.forecast.baselines.base import History as History
from truefill.forecast.baselines.base import Train as Train
