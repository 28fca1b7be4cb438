"""Networks that forecast, by name; importing this package registers them. A new one is a file and
a line here."""

from truefill.forecast.networks import attention as attention
from truefill.forecast.networks import cnn as cnn
from truefill.forecast.networks import decomposed as decomposed
from truefill.forecast.networks import gated as gated
from truefill.forecast.networks import recurrent as recurrent
from truefill.forecast.networks.base import NETWORKS as NETWORKS
from truefill.forecast.networks.base import Inputs as Inputs
from truefill.forecast.networks.base import Network as Network
from truefill.forecast.networks.base import multiply_adds as multiply_adds
from truefill.forecast.networks.base import network as network
from truefill.forecast.networks.base import parameters as parameters
