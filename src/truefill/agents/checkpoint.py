"""Where pytrees were written before forecasters wrote them too: :mod:`truefill.nn.checkpoint`."""

from truefill.nn.checkpoint import flatten as flatten
from truefill.nn.checkpoint import load_tree as load_tree
from truefill.nn.checkpoint import save_tree as save_tree
from truefill.nn.checkpoint import unflatten as unflatten
