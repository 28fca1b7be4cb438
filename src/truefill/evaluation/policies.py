"""Policies of the user's own, scored beside the agent: written against these names
(docs/networks.md). They lie below (:mod:`truefill.env.policies`), where agents find them too."""

from __future__ import annotations

from truefill.env.policies import POLICIES as POLICIES
from truefill.env.policies.base import OwnPolicy as OwnPolicy
from truefill.env.policies.base import Played as Played
from truefill.env.policies.base import Seen as Seen
from truefill.env.policies.base import UserPolicy as UserPolicy
from truefill.env.policies.base import make_policy as make_policy
from truefill.env.policies.base import played_as as played_as
from truefill.env.policies.base import policy as policy
from truefill.env.policies.given import Given as Given
