"""Fitting networks (docs/forecast-networks.md)."""

from truefill.forecast.fit.fit import batch_size as batch_size
from truefill.forecast.fit.fit import fit_network as fit_network
from truefill.forecast.fit.fitted import FittedNetwork as FittedNetwork
from truefill.forecast.fit.fitted import load_network as load_network
from truefill.forecast.fit.task import CustomLoss as CustomLoss
from truefill.forecast.fit.task import NetworkTask as NetworkTask
