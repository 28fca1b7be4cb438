"""Policies that are written as rules, and the registry of them."""

from truefill.env.policies import threshold
from truefill.env.policies.base import POLICIES, OwnPolicy, Played, Seen, UserPolicy, make_policy
from truefill.env.policies.given import Given

__all__ = [
    "POLICIES",
    "Given",
    "OwnPolicy",
    "Played",
    "Seen",
    "UserPolicy",
    "make_policy",
    "threshold",
]
