"""How a network is fitted to train rows."""
