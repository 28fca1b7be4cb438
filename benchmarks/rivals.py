"""What the market benchmark measures of other libraries, each in its own best or usual way.

Runs in ``.venv-rivals`` (``make bench-rivals-setup``); every item pins itself to one core.
"""

from __future__ import annotations

import warnings
from typing import Any

import common
import numpy as np

EPOCHS = 4


def _versions(*names: str) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in names}


def anytrading(repeats: int) -> dict[str, Any]:
    """Steps a second of gym-anytrading's two environments on their sample data with random actions
    in a plain loop, made by ``gymnasium.make`` as its README does or directly: the best counts."""
    common.pin()
    warnings.filterwarnings("ignore", module="gymnasium")  # its checker minds their observations
    import gymnasium
    from gym_anytrading import datasets
    from gym_anytrading.envs import ForexEnv, StocksEnv

    stocks = {"df": datasets.STOCKS_GOOGL, "window_size": 30, "frame_bound": (30, 2_335)}
    forex = {"df": datasets.FOREX_EURUSD_1H_ASK, "window_size": 24, "frame_bound": (24, 6_000)}
    found = {}
    for kind, name, kwargs in ((StocksEnv, "stocks-v0", stocks), (ForexEnv, "forex-v0", forex)):
        found[f"{name}, gymnasium.make"] = _episodes(gymnasium.make(name, **kwargs), repeats)
        found[f"{name}, direct"] = _episodes(kind(**kwargs), repeats)
    best = max(found, key=lambda way: common.rate(found[way])[0])
    return {**found[best], "way": best, "versions": _versions("gym-anytrading", "gymnasium")}


def _episodes(env: Any, repeats: int) -> dict[str, Any]:
    steps = 0

    def episode() -> None:
        nonlocal steps
        env.reset(seed=common.SEED)
        steps = 0
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            steps += 1
            over = terminated or truncated

    seconds = common.timed(episode, repeats)
    return {"samples": steps, "seconds": seconds}


def _vector(num_envs: int) -> Any:
    """Our market as a Stable-Baselines3 ``VecEnv``."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from sb3_parts import MarketVecEnv

    return MarketVecEnv(common.full_rules(), num_envs, common.SEED)


def _plain(num_envs: int) -> Any:
    """The same task in plain Python, ``num_envs`` copies in a ``DummyVecEnv``."""
    from plain_env import PlainEnv
    from stable_baselines3.common.vec_env import DummyVecEnv

    split = common.random_walk()
    return DummyVecEnv([lambda: PlainEnv(split) for _ in range(num_envs)])


def _check_plain() -> None:
    """The plain environment must be the same task: one episode, same actions, same equity."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from plain_env import PlainEnv
    from sb3_parts import start_at, step_to

    actions = np.random.default_rng(common.SEED).integers(0, 3, 2_000)
    plain = PlainEnv(common.random_walk())
    plain.reset(options={"start": 0})
    ours = common.full_rules()
    state = start_at(ours, 0)
    for action in actions:
        _, _, terminated, _, info = plain.step(action)
        state, ended, equity = step_to(ours, state, int(action))
        if abs(info["equity"] / equity - 1.0) > 1e-9 or terminated != ended:
            raise SystemExit(
                "the plain environment's equity is not the market's: not the same task"
            )
        if ended:
            return
    raise SystemExit("the compared episode did not end")


def _policy(shared: bool) -> dict[str, Any]:
    """64x64 relu; policy and value share the layers, or have two networks."""
    from torch import nn

    if not shared:
        return {"net_arch": [64, 64], "activation_fn": nn.ReLU}
    from sb3_parts import Trunk

    return {"net_arch": [], "features_extractor_class": Trunk}


def sb3(
    repeats: int, plain: bool, num_envs: int, n_steps: int, batch: int, shared: bool
) -> dict[str, Any]:
    """Seconds of each iteration (rollout and four epochs) of Stable-Baselines3's PPO."""
    common.pin()
    import torch
    from stable_baselines3 import PPO

    torch.set_num_threads(1)
    if plain:
        _check_plain()
    env = _plain(num_envs) if plain else _vector(num_envs)
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=n_steps,
        batch_size=batch,
        n_epochs=EPOCHS,
        ent_coef=0.01,
        policy_kwargs=_policy(shared),
        device="cpu",
        seed=common.SEED,
    )
    return {
        "samples": num_envs * n_steps,
        "seconds": _iterations(model, num_envs * n_steps, repeats),
        "num_envs": num_envs,
        "n_steps": n_steps,
        "batch": batch,
        "shared": shared,
        "versions": _versions("stable-baselines3", "torch"),
    }


def _iterations(model: Any, samples: int, repeats: int) -> list[float]:
    """Seconds of each iteration of ``samples``, but for the first, which compiles our step."""
    import torch
    from stable_baselines3.common.callbacks import BaseCallback

    stamps: list[float] = []

    class Stamp(BaseCallback):  # type: ignore[misc]
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            stamps.append(common.clock())

        def _on_training_end(self) -> None:
            stamps.append(common.clock())

    model.learn(samples * (repeats + 1), callback=Stamp())
    parameters = torch.cat([p.flatten() for p in model.policy.parameters()])
    if not bool(torch.isfinite(parameters).all()):
        raise SystemExit("a parameter of Stable-Baselines3's network is not finite")
    return np.diff(stamps)[1:].tolist()  # type: ignore[no-any-return]


def recurrent_sb3(
    repeats: int, units: int, num_envs: int, n_steps: int, batch: int, shared: bool
) -> dict[str, Any]:
    """Seconds of each iteration (rollout and four epochs) of sb3-contrib's RecurrentPPO: an LSTM,
    one hidden layer of 64; one LSTM for policy and value, or one each."""
    common.pin()
    import torch
    from sb3_contrib import RecurrentPPO
    from torch import nn

    torch.set_num_threads(1)
    model = RecurrentPPO(
        "MlpLstmPolicy",
        _vector(num_envs),
        n_steps=n_steps,
        batch_size=batch,
        n_epochs=EPOCHS,
        ent_coef=0.01,
        policy_kwargs={
            "lstm_hidden_size": units,
            "net_arch": [64],
            "activation_fn": nn.ReLU,
            "shared_lstm": shared,
            "enable_critic_lstm": not shared,
        },
        device="cpu",
        seed=common.SEED,
    )
    return {
        "samples": num_envs * n_steps,
        "seconds": _iterations(model, num_envs * n_steps, repeats),
        "versions": _versions("sb3-contrib", "stable-baselines3", "torch"),
    }


def vectorbt(repeats: int, ways: list[list[str]]) -> dict[str, Any]:
    """Column-bars a second over the grid of fees, equity of every bar included.

    ``ways``: pairs of a method (``from_signals``, ``from_orders``) and an engine (``numba``,
    ``rust``); the fastest counts.

    A signal set is one call whose fees are the columns, [1, 64] against signals [T, 1]: vectorbt
    keeps such inputs small instead of copying them. The result is the equity of every bar, as ours.
    """
    common.pin()
    from market_items import CHUNK_SETS, REPLAY_BARS, fee_multiples, signals

    split = common.random_walk()
    opened, close = (np.ascontiguousarray(x[:REPLAY_BARS]) for x in (split.open, split.close))
    fees = fee_multiples()[None] * 1e-4
    wanted = signals(CHUNK_SETS, REPLAY_BARS)
    found = {}
    for method, engine in ways:
        found[f"{method}, {engine}"] = _vectorbt(
            method, engine, repeats, opened, close, fees, wanted
        )
    best = min(found, key=lambda name: float(np.median(found[name]["seconds"])))
    return {
        **found[best],
        "way": best,
        "ways": {name: common.rate(f)[0] for name, f in found.items()},
        "versions": _versions("vectorbt", "vectorbt-rust", "numba", "pandas"),
    }


def _vectorbt(
    method: str, engine: str, repeats: int, opened: Any, close: Any, fees: Any, wanted: Any
) -> dict[str, Any]:
    import pandas as pd
    import vectorbt as vbt

    # What is decided at a close fills at the next open.
    held = np.concatenate([np.zeros_like(wanted[:1]), wanted[:-1]])
    before = np.concatenate([np.zeros_like(held[:1]), held[:-1]])
    columns = pd.DataFrame(np.broadcast_to(close, (close.shape[0], fees.shape[1])))
    shared: dict[str, Any] = {"price": opened, "fees": fees, "init_cash": 10_000.0}
    vbt.settings.caching["enabled"] = False
    final: list[Any] = []
    simulated: list[float] = []

    def one_set(index: int) -> Any:
        enter = ((held > before)[:, index : index + 1], (held < before)[:, index : index + 1])
        if method == "from_signals":
            return vbt.Portfolio.from_signals(
                columns, *enter, direction="longonly", engine=engine, **shared
            )
        size = np.where(enter[0], np.inf, np.where(enter[1], -np.inf, np.nan))
        return vbt.Portfolio.from_orders(
            columns, size, direction="longonly", engine=engine, **shared
        )

    def work() -> None:
        final.clear()
        spent = 0.0
        for index in range(wanted.shape[1]):
            began = common.clock()
            portfolio = one_set(index)
            spent += common.clock() - began
            final.append(portfolio.value().to_numpy()[-1])
        simulated.append(spent)

    seconds = common.timed(work, repeats)
    return {
        "samples": wanted.size * fees.shape[1],
        "seconds": seconds,
        "simulated": simulated[1:],
        "final": np.stack(final, axis=1).ravel().tolist(),
    }


if __name__ == "__main__":
    common.serve(
        {"anytrading": anytrading, "recurrent_sb3": recurrent_sb3, "sb3": sb3, "vectorbt": vectorbt}
    )
