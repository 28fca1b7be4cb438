"""Every check, in the order of the chain. A new one is a file and a line here."""

# isort: off
from truefill.audit.checks import bars as bars
from truefill.audit.checks import features as features
from truefill.audit.checks import streamed as streamed
from truefill.audit.checks import publication as publication
from truefill.audit.checks import dataset as dataset
from truefill.audit.checks import side_files as side_files
from truefill.audit.checks import forecasts as forecasts
from truefill.audit.checks import training as training
from truefill.audit.checks import market as market
from truefill.audit.checks import own_policies as own_policies

# isort: on
from truefill.audit.registry import AUDITS as AUDITS
