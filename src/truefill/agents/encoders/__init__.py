"""What can stand between the market window and the layers after it (docs/networks.md). A new one is
a file and a line here."""

from truefill.agents.encoders import attention as attention
from truefill.agents.encoders import cnn as cnn
from truefill.agents.encoders import none as none
from truefill.agents.encoders.base import ENCODERS as ENCODERS
from truefill.agents.encoders.base import Encoder as Encoder
from truefill.agents.encoders.base import Inputs as Inputs
from truefill.agents.encoders.base import encoder as encoder
from truefill.agents.encoders.base import make_encoders as make_encoders
from truefill.agents.encoders.base import parse as parse
