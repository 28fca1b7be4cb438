"""Hyper-parameter search: what is proposed, when a trial is pruned, what it is worth."""
