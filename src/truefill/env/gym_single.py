"""One account as a Gymnasium ``Env``, for learners that live outside this project.

The same market, costs and rewards as in training. ``terminated`` is ruin or the drawdown limit,
``truncated`` the time limit or the end of the data. :mod:`truefill.env.view_info` says what
``info`` holds.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.core.errors import UsageError
from truefill.env import view_info, view_spaces, view_step
from truefill.env.setup import Environment
from truefill.env.view_info import Info
from truefill.env.view_step import Running

Values = npt.NDArray[np.float32]


class MarketEnv(gymnasium.Env[Values, Any]):
    """One account trading one split, each episode from a random bar (or ``options["start"]``)."""

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012

    def __init__(
        self,
        environment: Environment,
        *,
        render_mode: str | None = None,
        timestamps_s: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """``environment`` as training builds it (``make_environment(..., "train")``);
        ``timestamps_s`` lets ``render`` name a bar's time and not only its index."""
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise UsageError(f"render_mode is {render_mode!r}", do="use None or 'ansi'")
        self._spec, self._arrays = environment.spec, environment.arrays
        self._running: Running | None = None
        self._ended = False
        self.render_mode, self._timestamps_s = render_mode, timestamps_s
        self.observation_space = view_spaces.observation_space(self._spec)
        self.action_space = view_spaces.action_space(self._spec)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Values, Info]:
        """A fresh account at a random bar, or at ``options["start"]``."""
        super().reset(seed=seed)
        start = view_step.given_starts(self._spec, self._arrays, options, 1)
        if start is None:
            start = view_step.draw(self._spec, self._arrays, [self.np_random.random()])
        self._running, seen = view_step.begin(self._arrays, jnp.asarray(start), spec=self._spec)
        self._ended = False
        close = jax.device_get(seen)
        facts = view_info.facts(close, view_spaces.no_illegal(self._spec, 1))
        return np.array(close.values[0]), view_info.row(facts, 0)

    def step(self, action: Any) -> tuple[Values, float, bool, bool, Info]:
        """One bar."""
        if self._running is None or self._ended:
            raise gymnasium.error.ResetNeeded("call reset before step, and after an episode's end")
        taken = view_spaces.checked_actions(self._spec, action, self.action_space.shape or (), 1)
        self._running, *seen = view_step.advance(
            self._arrays, self._running, jnp.asarray(taken), spec=self._spec
        )
        close, paid = jax.device_get(seen)
        info = view_info.row(view_info.facts(close, paid.illegal), 0)
        terminated, truncated = bool(paid.terminated[0]), bool(paid.truncated[0])
        self._ended = terminated or truncated
        if self._ended:
            summary = view_info.summary(self._arrays, self._running)
            info["episode_summary"] = view_info.row(summary, 0)
        return np.array(close.values[0]), float(paid.reward[0]), terminated, truncated, info

    def render(self) -> str | None:
        """One line: the bar, the weight of each symbol, equity, drawdown; None without a mode."""
        if self.render_mode is None:
            return None
        if self._running is None:
            raise gymnasium.error.ResetNeeded("call reset before render")
        account, t = jax.device_get((self._running.state.account, self._running.state.t))
        bar, equity = int(t[0]), float(account.equity[0])
        when = f"bar {bar}"
        if self._arrays.pool is not None:
            when = f"symbol {int(self._arrays.pool.symbol[bar])}, {when}"
        if self._timestamps_s is not None:
            when += f" {np.datetime64(int(self._timestamps_s[bar]), 's')}"
        weights = account.units[0] * account.mark[0] / equity
        position = " ".join(f"{weight:+.3f}" for weight in weights)
        drawdown = 1.0 - equity / float(account.peak[0])
        return f"{when}  position {position}  equity {equity:,.2f}  drawdown {drawdown:.2%}"
