"""PopArt: the same outputs under another unit, and every guard where it bites and where not."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import environment, random_split
from truefill.agents import popart, ppo
from truefill.agents.networks import make_network
from truefill.agents.popart import PopArtState, Unit
from truefill.config.schema import AgentConfig, PopArtConfig

ONE = Unit(jnp.float32(0.0), jnp.float32(1.0))
FINE = jnp.float32(0.9)


def config(**options: Any) -> PopArtConfig:
    return PopArtConfig(**{"warmup_updates": 2, "min_samples": 10, **options})


def watched(times: int, settings: PopArtConfig, scale: float = 50.0) -> PopArtState:
    """After ``times`` updates of 8 returns with mean 5 and standard deviation ``scale``."""
    state = popart.init()
    returns = jnp.asarray([1.0, -1.0] * 4, jnp.float32) * scale + 5.0
    for _ in range(times):
        state = popart.watch(state, returns, None, settings)
    return state


@pytest.mark.parametrize("shared", [True, False])
def test_outputs_stay_what_they_were(shared: bool) -> None:
    env = environment(random_split(2))
    agent = AgentConfig(
        kind="quantile_ppo",
        network={"hidden": [8], "shared_trunk": shared},
        critic={"quantiles": 5},
    )
    network = make_network(jax.random.PRNGKey(0), env.spec, agent)
    seen = jax.random.normal(jax.random.PRNGKey(1), (env.spec.observation_size, 7))
    moved = network.with_unit(Unit(jnp.float32(-3.0), jnp.float32(0.02)))
    again = moved.with_unit(Unit(jnp.float32(40.0), jnp.float32(7.0)))
    for other in (moved, again):
        for a, b in zip(network(seen, None), other(seen, None), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)
    heads = [n.policy_head if shared else n.value_head[0] for n in (network, again)]
    before, after = (head.weight[:, -5:] for head in heads)
    np.testing.assert_allclose(after, before / 7.0, rtol=1e-5)
    assert float(again.unit.std) == 7.0  # type: ignore[union-attr]


def test_the_unit_is_taken_over_at_once_and_then_follows_in_steps() -> None:
    settings = config(max_relative_step=0.1, decay=0.0)
    state, unit = popart.next_unit(watched(3, settings), ONE, FINE, settings)
    assert bool(state.live)
    assert [float(x) for x in unit] == pytest.approx([5.0, 50.0])
    wider = popart.watch(state, jnp.asarray([-1e4, 1e4]), None, settings)
    _, unit = popart.next_unit(wider, unit, FINE, settings)
    assert [float(x) for x in unit] == pytest.approx([0.0, 55.0])
    far = popart.watch(state, jnp.asarray([1e4, 1e4 + 1.0]), None, settings)
    _, unit = popart.next_unit(far, unit, FINE, settings)
    assert [float(x) for x in unit] == pytest.approx([5.5, 49.5])


@pytest.mark.parametrize(
    ("options", "updates", "explained"),
    [
        ({}, 2, 0.9),  # warm-up
        ({"min_samples": 25}, 3, 0.9),
        ({"ev_floor": 0.3}, 3, 0.2),
        ({"ev_floor": 0.3}, 3, np.nan),
    ],
)
def test_a_guard_keeps_the_unit(options: dict[str, Any], updates: int, explained: float) -> None:
    settings = config(**options)
    state, unit = popart.next_unit(
        watched(updates, settings), ONE, jnp.float32(explained), settings
    )
    assert not bool(state.live)
    assert [float(x) for x in unit] == [0.0, 1.0]
    _, fine = popart.next_unit(watched(4, settings), ONE, FINE, settings)
    assert float(fine.std) == pytest.approx(50.0)


def test_the_unit_has_a_floor() -> None:
    settings = config(std_floor=2.0)
    _, unit = popart.next_unit(watched(3, settings, scale=0.0), ONE, FINE, settings)
    assert float(unit.std) == 2.0


def test_epochs_that_harm_the_held_out_bars_stop_it_until_they_do_not() -> None:
    settings = config(patience=2, ev_tolerance=0.1, decay=0.0, max_relative_step=0.5)
    state, unit = popart.next_unit(watched(3, settings), ONE, FINE, settings)
    narrow = jnp.asarray([4.0, 6.0], jnp.float32)

    def moved(state: PopArtState) -> bool:
        state = popart.watch(state, narrow, None, settings)
        return float(popart.next_unit(state, unit, FINE, settings)[1].std) != float(unit.std)

    worse = popart.judge(state, jnp.float32(0.5), jnp.float32(0.3), settings)
    assert moved(worse)
    worse = popart.judge(worse, jnp.float32(0.5), jnp.float32(0.3), settings)
    assert not moved(worse)
    assert moved(popart.judge(worse, jnp.float32(0.5), jnp.float32(0.45), settings))
    assert moved(popart.judge(worse, jnp.float32(jnp.nan), jnp.float32(0.4), settings))


def test_returns_of_bars_that_teach_nothing_are_not_watched() -> None:
    settings = config()
    returns, weight = jnp.asarray([1.0, 3.0, 900.0]), jnp.asarray([1.0, 1.0, 0.0])
    state = popart.watch(popart.init(), returns, weight, settings)
    assert (float(state.mean), float(state.square), int(state.samples)) == (2.0, 5.0, 2)
    nothing = popart.watch(popart.init(), returns, jnp.zeros(3), settings)
    late = popart.watch(nothing, returns, weight, settings)
    assert (float(late.mean), float(late.square)) == (2.0, 5.0)  # nothing is averaged with nothing
    same = popart.watch(state, returns, jnp.zeros(3), settings)
    assert (float(same.mean), float(same.square), int(same.samples)) == (2.0, 5.0, 2)


@pytest.mark.slow
def test_held_out_accounts_teach_nothing() -> None:
    """On other bars they change neither a weight nor the weight of the tail."""
    env = environment(random_split(2, bars=60, masked=0.0), {"env.episode_bars": 10})
    agent = AgentConfig(
        kind="quantile_ppo",
        network={"hidden": [4]},
        critic={
            "quantiles": 4,
            "popart": {"holdout_envs": 8},
            "cvar": {"limit": -0.01, "dual_learning_rate": 1e-3},
        },
        ppo={"num_envs": 8, "num_steps": 8, "minibatch": 32, "block": 8, "epochs": 1},
    )

    def learned(shift: int) -> tuple[list[Any], float]:
        network = make_network(jax.random.PRNGKey(0), env.spec, agent)
        state = ppo.init(env.spec, env.arrays, network, agent, jax.random.PRNGKey(1))
        bars = state.env.t.at[8:].set((state.env.t[8:] + shift) % 40)
        state = state._replace(env=state.env._replace(t=bars))
        state, _ = ppo.update(state, env.arrays, spec=env.spec, config=agent, total_steps=320)
        assert state.dual is not None and state.popart is not None
        return [np.asarray(x) for x in jax.tree.leaves(state.network)], float(state.dual)

    one, other = learned(0), learned(7)
    assert one[1] == other[1] > 0.0
    assert all(np.array_equal(a, b) for a, b in zip(one[0], other[0], strict=True))
