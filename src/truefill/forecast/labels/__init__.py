"""Labels: what a forecaster is asked (docs/forecast-skill.md). A new one is a file and a line
here."""

from truefill.forecast.labels import future_return as future_return
from truefill.forecast.labels import smoothed as smoothed
from truefill.forecast.labels import triple_barrier as triple_barrier
from truefill.forecast.labels.base import CLASSES as CLASSES
from truefill.forecast.labels.base import LABELS as LABELS
from truefill.forecast.labels.base import FittedLabel as FittedLabel
from truefill.forecast.labels.base import LabelBars as LabelBars
from truefill.forecast.labels.base import Labels as Labels
from truefill.forecast.labels.base import bars_of as bars_of
from truefill.forecast.labels.base import fit_label as fit_label
from truefill.forecast.labels.base import label_heads as label_heads
