"""The update: gradient, schedules, epochs, and that every sample is used once an epoch."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from env_cases import agent_of, environment, random_split
from truefill.agents import ppo
from truefill.agents.coefficients import scheduled, split
from truefill.agents.loss import Hyper, loss
from truefill.agents.minibatch import Minibatch, cut
from truefill.agents.networks import ActorCritic, log_prob_entropy, make_network
from truefill.config.schema import AgentConfig, NetworkConfig, PPOConfig, Schedule
from truefill.env.episodes import Observation
from truefill.env.setup import Environment

SMALL: dict[str, Any] = {"num_envs": 16, "num_steps": 8, "minibatch": 32, "block": 8, "epochs": 2}
TOTAL = 10 * 16 * 8


def settings_of(**options: Any) -> PPOConfig:
    return PPOConfig(**{**SMALL, **options})


def environment_of(kind: str = "short_flat_long") -> Environment:
    keys = {"market.allow_short": True, "market.no_trade_band": 0.05, "env.episode_bars": 10,
            "env.action.kind": kind}  # fmt: skip
    return environment(random_split(2, bars=40, masked=0.0), keys)


def begin(
    env: Environment, config: PPOConfig, **network: Any
) -> tuple[ppo.TrainState, ActorCritic]:
    net = make_network(jax.random.PRNGKey(0), env.spec, agent_of(hidden=(8,), **network))
    agent = AgentConfig(ppo=config)
    return ppo.init(env.spec, env.arrays, net, agent, jax.random.PRNGKey(1)), net


def run(env: Environment, config: PPOConfig, updates: int, **network: Any) -> tuple[Any, list[Any]]:
    state, _ = begin(env, config, **network)
    agent, logs = AgentConfig(ppo=config), []
    for _ in range(updates):
        state, log = ppo.update(state, env.arrays, spec=env.spec, config=agent, total_steps=TOTAL)
        logs.append(jax.tree.map(np.asarray, log))
    return state, logs


def test_a_second_update_of_the_same_shapes_does_not_compile_again() -> None:
    env, config = environment_of(), settings_of()
    run(env, config, 1)
    size = ppo._update._cache_size()
    state, logs = run(environment_of(), settings_of(), 3)
    assert ppo._update._cache_size() == size
    assert int(state.steps) == 3 * 16 * 8
    assert state.steps.dtype == jnp.int64
    assert len({float(log.losses.policy_loss) for log in logs}) == 3


def test_the_network_given_to_init_survives_the_donated_update() -> None:
    env, config = environment_of(), settings_of()
    state, net = begin(env, config)
    before = jax.tree.map(np.array, net)
    agent = AgentConfig(ppo=config)
    after, _ = ppo.update(state, env.arrays, spec=env.spec, config=agent, total_steps=TOTAL)
    for a, b in zip(jax.tree.leaves(net), jax.tree.leaves(before), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(after.network.policy_head.weight, net.policy_head.weight)


def at(schedule: Schedule, progress: float) -> jax.Array:
    """The value of a schedule, as an update has it: shape and numbers apart."""
    shape, numbers = split(AgentConfig(ppo=settings_of(clip=schedule)), TOTAL)
    return scheduled(shape.ppo.clip, numbers.clip, jnp.asarray(progress))


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_schedules(kind: Any) -> None:
    schedule = Schedule(start=0.4, end=0.2, kind=kind)
    quarter = 0.25 if kind == "linear" else 0.5 * (1.0 - math.cos(math.pi / 4))
    for progress, share in ((0.0, 0.0), (0.25, quarter), (0.5, 0.5), (1.0, 1.0)):
        got = at(schedule, progress)
        assert got.dtype == jnp.float32
        assert float(got) == pytest.approx(0.4 - 0.2 * share, rel=1e-6)
    constant = at(Schedule(start=0.3, kind=kind), 0.7)
    assert float(constant) == pytest.approx(0.3)


def test_the_unit_of_schedules_is_environment_steps_over_total_steps() -> None:
    config = settings_of(
        learning_rate={"start": 0.001, "end": 0.0},
        clip={"start": 0.2, "end": 0.1, "kind": "cosine"},
        entropy=0.01,
    )
    _, logs = run(environment_of(), config, 12)
    progress = np.minimum(np.arange(12) / 10, 1.0)  # TOTAL is ten updates
    rates = [float(log.learning_rate) for log in logs]
    np.testing.assert_allclose(rates, 0.001 * (1.0 - progress), rtol=1e-5, atol=1e-9)
    clips = [float(log.clip_range) for log in logs]
    np.testing.assert_allclose(clips, 0.15 + 0.05 * np.cos(np.pi * progress), rtol=1e-5)
    assert {round(float(log.entropy_coef), 7) for log in logs} == {0.01}


def test_a_learning_rate_of_zero_changes_nothing() -> None:
    env, config = environment_of(), settings_of(learning_rate=0.0)
    state, _ = run(env, config, 2)
    fresh, _ = begin(env, config)
    for a, b in zip(jax.tree.leaves(state.network), jax.tree.leaves(fresh.network), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.slow
def test_target_kl_stops_epochs() -> None:
    env = environment_of()
    fast = {"learning_rate": 0.05, "epochs": 5}
    _, [free] = run(env, settings_of(**fast), 1)
    _, [loose] = run(env, settings_of(**fast, target_kl=1e9), 1)
    _, [tight] = run(env, settings_of(**fast, target_kl=1e-9), 1)
    assert float(free.epochs) == float(loose.epochs) == 5.0
    assert float(tight.epochs) == 1.0
    np.testing.assert_allclose(
        float(loose.losses.approx_kl), float(free.losses.approx_kl), rtol=1e-3
    )
    # The mean is over the epochs that ran: one epoch's own KL, not a fifth of it.
    _, [one] = run(env, settings_of(**{**fast, "epochs": 1}), 1)
    assert float(tight.losses.approx_kl) > 1e-9
    assert float(tight.losses.value_loss) == pytest.approx(float(one.losses.value_loss), rel=0.3)


def numbered(T: int = 4, N: int = 12, S: int = 2, A: int = 3) -> Minibatch:
    """A batch in which every number says which sample (t, n) it belongs to."""
    tag = np.arange(T * N, dtype=np.float32).reshape(T, N)
    legal = np.zeros((T, N, S, A), np.float32) + tag[:, :, None, None]
    return Minibatch(
        observation=Observation(
            jnp.asarray(np.repeat(tag[:, None], 5, axis=1)), jnp.asarray(legal)
        ),
        action=jnp.asarray(np.repeat(tag[:, None], S, axis=1)),
        log_prob=jnp.asarray(tag),
        advantage=jnp.asarray(tag),
        target=jnp.asarray(tag),
    )


def test_blocks_and_joins_keep_every_samples_rows_together() -> None:
    blocks, join, size = cut(numbered(), 4, 1)
    assert size == 4
    assert blocks.advantage.shape == (12, 4)
    assert blocks.observation.values.shape == (12, 5, 4)
    order = jnp.asarray([7, 0, 11])
    rows = jax.tree.map(lambda x: join(x[order]), blocks)
    tags = np.asarray(rows.advantage)
    assert tags.shape == (12,)
    assert (np.asarray(rows.observation.values) == tags).all()
    assert (np.asarray(rows.action) == tags).all()
    assert (np.asarray(rows.observation.legal) == tags).all()  # [S, A, rows]
    assert (np.asarray(rows.log_prob) == tags).all()
    assert (np.asarray(rows.target) == tags).all()
    # A block is neighbouring accounts of one bar: block 7 is accounts 4..7 of bar 2.
    assert tags[:4].tolist() == [28.0, 29.0, 30.0, 31.0]


def test_every_sample_is_used_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings_of(num_envs=12, num_steps=4, minibatch=8, block=4, epochs=3)
    seen: list[np.ndarray] = []

    def note(network: Any, moments: Any, rows: Minibatch, hyper: Any, config: Any) -> Any:
        jax.debug.callback(lambda x: seen.append(np.array(x)), rows.advantage, ordered=True)
        return (network, moments), ppo.Losses(*(jnp.float32(0.0) for _ in ppo.Losses._fields))

    monkeypatch.setattr(ppo, "_descend", note)
    hyper = Hyper(*(jnp.float32(0.2) for _ in Hyper._fields))
    agent = AgentConfig(ppo=config)
    ppo._learn({}, {}, numbered(), hyper, jax.random.PRNGKey(0), agent)  # type: ignore[arg-type]
    jax.effects_barrier()
    epochs = np.stack(seen).reshape(3, 48)
    assert len(seen) == 18
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(48))
    assert not np.array_equal(epochs[0], epochs[1])


def loss_case(kind: str) -> tuple[ActorCritic, Minibatch, Hyper, AgentConfig]:
    """A tiny network and minibatch in float64, off the kinks of clip and relu."""
    env = environment_of(kind)
    config = NetworkConfig(hidden=(4,), activation="tanh")
    net = make_network(jax.random.PRNGKey(0), env.spec, AgentConfig(network=config))
    net = jax.tree.map(lambda x: x.astype(jnp.float64) + 0.05, net)
    rng = np.random.default_rng(0)
    values = jnp.asarray(rng.normal(size=(env.spec.observation_size, 6)))
    out, _ = net(values, None)
    action = (
        jnp.asarray(rng.integers(0, 3, (2, 6)), jnp.int32)
        if net.num_actions
        else out + jnp.asarray(rng.normal(size=(2, 6)))
    )
    log_prob, _ = log_prob_entropy(net, out, action)
    # ratios: two clipped above, two below, two inside
    old = log_prob - jnp.log(jnp.asarray([1.5, 1.4, 0.6, 0.5, 1.05, 0.95]))
    rows = Minibatch(
        observation=Observation(values, None),
        action=action,
        log_prob=old,
        advantage=jnp.asarray(rng.normal(size=6)),
        target=jnp.asarray(rng.normal(size=6)),
    )
    zero = jnp.asarray(0.0)
    hyper = Hyper(*(zero for _ in Hyper._fields))
    hyper = hyper._replace(
        clip=jnp.asarray(0.2), entropy=jnp.asarray(0.03), value_coef=jnp.asarray(0.7)
    )
    return net, rows, hyper, AgentConfig()


@pytest.mark.parametrize("kind", ["short_flat_long", "target_weight"])
def test_the_gradient_of_the_loss_matches_finite_differences(kind: str) -> None:
    net, rows, hyper, config = loss_case(kind)
    leaves, structure = jax.tree.flatten(net)
    sizes = np.cumsum([0, *(leaf.size for leaf in leaves)])

    @jax.jit
    def total(flat: jax.Array) -> jax.Array:
        parts = [
            flat[a:b].reshape(leaf.shape)
            for a, b, leaf in zip(sizes[:-1], sizes[1:], leaves, strict=True)
        ]
        return loss(jax.tree.unflatten(structure, parts), rows, hyper, config)[0]

    flat = jnp.concatenate([leaf.ravel() for leaf in leaves])
    gradient = np.asarray(jax.grad(total)(flat))
    step = 1e-6
    moved = np.eye(flat.size) * step
    numeric = [float(total(flat + d) - total(flat - d)) / (2 * step) for d in moved]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7)
    assert np.abs(gradient).max() > 1e-3


def test_the_loss_by_its_formula() -> None:
    net, rows, hyper, config = loss_case("short_flat_long")
    total, losses = loss(net, rows, hyper, config)
    ratio = np.asarray([1.5, 1.4, 0.6, 0.5, 1.05, 0.95])
    adv = np.asarray(rows.advantage)
    adv = (adv - adv.mean()) / (adv.std() + 1e-8)
    policy = -np.minimum(ratio * adv, np.clip(ratio, 0.8, 1.2) * adv).mean()
    out, value = net(rows.observation.values, None)
    squared = np.square(np.asarray(value) - np.asarray(rows.target)).mean()
    _, entropy = log_prob_entropy(net, out, rows.action)
    assert float(losses.policy_loss) == pytest.approx(policy)
    assert float(losses.value_loss) == pytest.approx(0.5 * squared)
    assert float(losses.entropy) == pytest.approx(float(entropy.mean()))
    assert float(losses.clip_fraction) == pytest.approx(4 / 6)
    assert float(losses.approx_kl) == pytest.approx((ratio - 1 - np.log(ratio)).mean())
    expected = policy + 0.7 * squared - 0.03 * float(entropy.mean())
    assert float(total) == pytest.approx(expected)


@pytest.mark.parametrize("enters", ["advantage", "loss"])
def test_the_tails_part_of_the_loss_by_its_formula(enters: str) -> None:
    """With rows that do not act, which are as if they were not there, and a cap that binds."""
    net, rows, hyper, _ = loss_case("short_flat_long")
    cvar = {"weight": 1.0, "cap": 0.5, "enters": enters}
    config = AgentConfig(kind="quantile_ppo", critic={"cvar": cvar})
    acts, tail = np.asarray([1, 1, 0, 1, 0, 1]), np.asarray([0.3, -4.0, 9.0, 0.1, -9.0, 0.6])
    rows = rows._replace(acts=jnp.asarray(acts, jnp.float64), tail=jnp.asarray(tail))
    hyper = hyper._replace(tail_weight=jnp.asarray(0.8), cap=jnp.asarray(0.5))
    _, losses = loss(net, rows, hyper, config)
    ratio = np.asarray([1.5, 1.4, 0.6, 0.5, 1.05, 0.95])[acts > 0]

    def clipped(advantage: np.ndarray) -> float:
        surrogate = np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
        return -float(surrogate.mean())

    adv, worst = np.asarray(rows.advantage)[acts > 0], tail[acts > 0]
    mean = (adv - adv.mean()) / adv.std()
    unit = adv.std() if enters == "advantage" else worst.std()
    part = np.clip((worst - worst.mean()) / unit, -0.5, 0.5)
    wanted = clipped(mean + 0.8 * part)
    if enters == "loss":
        wanted = clipped(mean) + 0.8 * clipped(part)
    assert float(losses.policy_loss) == pytest.approx(wanted, rel=1e-6)
    assert float(losses.clip_fraction) == pytest.approx(3 / 4)
    assert float(losses.approx_kl) == pytest.approx((ratio - 1 - np.log(ratio)).mean())


@pytest.mark.parametrize(
    ("kind", "shared"),
    [
        ("score", True),
        pytest.param("hold_buy_sell_close", False, marks=pytest.mark.slow),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("target_weight", False),
                ("nine_actions", True),
                ("portfolio_weights", True),
            )
        ),
    ],
)
def test_gaussian_masked_and_separate_policies_learn_without_error(kind: str, shared: bool) -> None:
    state, logs = run(environment_of(kind), settings_of(), 3, shared_trunk=shared)
    for leaf in jax.tree.leaves(state.network):
        assert np.isfinite(leaf).all()
    for log in logs:
        assert all(np.isfinite(x) for x in log.losses)
        assert int(log.illegal) == 0
    assert float(logs[-1].losses.grad_norm) > 0.0
    if state.network.num_actions == 0:
        assert not np.allclose(state.network.log_std, -0.5, atol=1e-7)


def test_the_gradient_is_clipped_to_its_norm_before_adam_but_logged_unclipped() -> None:
    tx = ppo.optimizer(0.5)
    gradient = {"w": jnp.asarray([3.0, 4.0])}
    _, state = tx.update(gradient, tx.init(gradient))
    first_moment = state[1].mu["w"]
    np.testing.assert_allclose(first_moment, 0.1 * np.asarray([0.3, 0.4]), rtol=1e-6)
