"""The policy protocol: all that evaluation knows about an agent."""

from __future__ import annotations

from typing import Any, Protocol

from truefill.market.types import Array


class Policy(Protocol):
    """Acts; a pure function of its parameters, what it remembers and what it sees.

    ``parameters`` is a pytree of arrays (a ``jit`` argument). ``decide`` must be the same function
    object for equal policies, since it is a static ``jit`` argument.
    """

    @property
    def parameters(self) -> Any: ...

    @property
    def contract_sha256(self) -> str:
        """Hash of the feature contract that the policy was trained on."""
        ...

    def initial(self, count: int) -> Any:
        """What it remembers of ``count`` accounts before their first bar: a pytree of arrays
        [..., count], () of a policy without memory."""
        ...

    @staticmethod
    def decide(
        parameters: Any, memory: Any, values: Array, legal: Array | None
    ) -> tuple[Array, Any]:
        """Actions [action_size, N] for observations [observation_size, N] of the next bar, and
        what is remembered after it; ``legal`` is bool [N, S, A], None where every action is."""
        ...


class Memoryless:
    """Base of policies that remember nothing."""

    def initial(self, count: int) -> tuple[()]:
        """Nothing."""
        return ()
