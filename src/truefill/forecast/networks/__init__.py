"""Networks that forecast, by name; importing this package registers them."""

from truefill.forecast.networks.base import NETWORKS as NETWORKS
from truefill.forecast.networks.base import Inputs as Inputs
from truefill.forecast.networks.base import Network as Network
from truefill.forecast.networks.base import network as network
