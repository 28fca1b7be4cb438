"""The Python API: the same as the command line, in few lines.

>>> import truefill
>>> config = truefill.load_config("config.yaml")             # doctest: +SKIP
>>> truefill.run(config).verdict                             # doctest: +SKIP
'do not deploy'
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from truefill.agents.bundle import Bundle, load_bundle
from truefill.config.load import load_config
from truefill.config.schema import Config
from truefill.core.errors import SealedTestError, UsageError
from truefill.core.files import read_json
from truefill.data.dataset import load_split
from truefill.data.resolve import resolve
from truefill.data.sessions import Session
from truefill.data.split import SplitArrays, to_arrays
from truefill.env.seen import agent_lineage, agent_split, forecasts_of
from truefill.env.setup import Environment, make_environment
from truefill.evaluation.backtest import Trace
from truefill.evaluation.backtest import backtest as _backtest
from truefill.features.build import BuiltDataset
from truefill.features.build import build_dataset as _build_dataset
from truefill.pipeline import run as _run

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecMonitor

    from truefill.env.gym_single import MarketEnv
    from truefill.env.gym_view import MarketVectorEnv

__all__ = ["backtest", "build_dataset", "load_bundle", "make_env", "run"]

OpenSplit = Literal["train", "validation"]
EnvKind = Literal["gymnasium", "sb3"]


def run(config: Config, *, runs: str | Path = "runs", **options: Any) -> _run.RunResult:
    """From data to verdict; see :func:`truefill.pipeline.run.run` for the options."""
    if not isinstance(config, Config):
        raise UsageError(
            f"run takes a Config, not {type(config).__name__}", do="truefill.load_config(path)"
        )
    return _run.run(config, runs=Path(runs), **options)


def build_dataset(config: Config) -> BuiltDataset:
    """The dataset of ``config`` in memory, without its test rows: those open in a run's test stage.

    ``lineage["market_data"]`` and ``lineage["warnings"]`` tell of nothing from the test split on.

    Raises:
        ConfigError, DataError: naming file, row, column and rule.
    """
    built = _build_dataset(resolve(config))
    without = {name: table for name, table in built.tables.items() if name != "test"}
    descriptive = {name: facts for name, facts in built.descriptive.items() if name != "test"}
    return replace(built, tables=without, descriptive=descriptive)


@overload
def make_env(
    config: Config | str | Path,
    split: str = "train",
    *,
    num_envs: int = 64,
    kind: Literal["gymnasium"] = "gymnasium",
    run: str | Path | None = None,
) -> MarketVectorEnv: ...


@overload
def make_env(
    config: Config | str | Path,
    split: str = "train",
    *,
    num_envs: int = 64,
    kind: Literal["sb3"],
    run: str | Path | None = None,
) -> VecMonitor: ...


def make_env(
    config: Config | str | Path,
    split: str = "train",
    *,
    num_envs: int = 64,
    kind: EnvKind = "gymnasium",
    run: str | Path | None = None,
) -> MarketVectorEnv | VecMonitor:
    """Accounts that trade ``split`` with the rules and rewards of training, for another learner.

    Args:
        config: a Config, or the path of one.
        split: "train" or "validation".
        num_envs: accounts, stepped together.
        kind: "gymnasium" gives a Gymnasium ``VectorEnv``; "sb3" a Stable-Baselines3 ``VecEnv``
            inside its ``VecMonitor``, which adds the "episode" figures its logs are made of (the
            extra ``sb3``: ``pip install 'truefill[sb3]'``). One account is
            ``gymnasium.make("truefill/Market-v0", config=config)``.
        run: folder of a run of this config; its dataset is taken instead of a new one. A config
            with forecasters needs it, for the forecasts: ``truefill.run(config,
            until="forecast").folder``.

    Raises:
        SealedTestError: test is for the test stage only.
        UsageError: no such split or kind, or the extra is not installed.
        ConfigError, DataError: see :func:`truefill.build_dataset`.
    """
    if kind not in get_args(EnvKind):
        raise UsageError(f"no kind is called {kind!r}", do="use " + " or ".join(get_args(EnvKind)))
    if kind == "sb3":
        from truefill.env.sb3_view import Sb3VecEnv, VecMonitor

        return VecMonitor(Sb3VecEnv(_environment(config, split, run)[0], num_envs))
    from truefill.env.gym_view import MarketVectorEnv

    return MarketVectorEnv(_environment(config, split, run)[0], num_envs)


def make_single_env(
    config: Config | str | Path,
    split: str = "train",
    *,
    render_mode: str | None = None,
    run: str | Path | None = None,
) -> MarketEnv:
    """One account of :func:`make_env` as a Gymnasium ``Env``; ``render_mode`` is None or "ansi"."""
    from truefill.env.gym_single import MarketEnv
    from truefill.env.pool import joined_timestamps

    environment, arrays = _environment(config, split, run)
    stamps = arrays.timestamps_s
    if environment.arrays.pool is not None:
        stamps = joined_timestamps(arrays)
    return MarketEnv(environment, render_mode=render_mode, timestamps_s=stamps)


def _environment(
    config: Config | str | Path, split: str, run: str | Path | None
) -> tuple[Environment, SplitArrays]:
    if isinstance(config, str | Path):
        config = load_config(config)
    if not isinstance(config, Config):
        raise UsageError(
            f"an environment takes a Config or its path, not {type(config).__name__}",
            do="truefill.load_config(path)",
        )
    if split in get_args(OpenSplit):
        config = resolve(config)
    arrays = _seen(config, split, run)
    return make_environment(config, arrays, "train"), arrays


def _seen(config: Config, name: str, run: str | Path | None) -> SplitArrays:
    """A split as agents see it."""
    if run is not None:
        if name not in get_args(OpenSplit) and name != "test":
            raise UsageError(f"no split is called {name!r}", do="use train or validation")
        folder = Path(run)
        whole = load_split(folder / "dataset", name)
        return agent_split(config, whole, forecasts_of(config, folder, name))
    whole = _split_of(config, name)
    if config.forecast is not None:
        raise UsageError(
            "the config has forecasters, whose forecasts are made by a run",
            where="make_env",
            do='run=truefill.run(config, until="forecast").folder',
        )
    return agent_split(config, whole, None)


def _split_of(config: Config, name: str) -> SplitArrays:
    if name == "test":
        raise SealedTestError("the test split is sealed", do="use train or validation")
    if name not in get_args(OpenSplit):
        raise UsageError(f"no split is called {name!r}", do="use train or validation")
    return arrays_of(build_dataset(config), name)


def arrays_of(built: BuiltDataset, name: str) -> SplitArrays:
    """A split of a dataset in memory as arrays."""
    return to_arrays(
        name,
        built.tables[name],
        symbols=built.lineage["symbols"],
        feature_names=[feature["name"] for feature in built.lineage["features"]],
        session=Session.from_dict(built.lineage["session"]),
        interval_s=built.lineage["interval_s"],
        market_columns=built.lineage["market_columns"],
        closed_by=built.lineage["no_trade"]["rules_sha256"],
    )


def backtest(
    policy: Bundle,
    dataset: str | Path,
    *,
    split: OpenSplit = "validation",
    cost_multiple: float = 1.0,
    extra_slippage_bps: float = 0.0,
) -> Trace:
    """Trade a split of a run's ``dataset`` folder with a bundle, under the bundle's own rules.

    Args:
        policy: from :func:`load_bundle`.
        dataset: a run's ``dataset`` folder.
        split: train or validation; test is for the test stage only.
        cost_multiple: multiplies every cost.
        extra_slippage_bps: is added to every slippage.

    Raises:
        PolicyError: the policy was made for another contract, other symbols or another normalizer.
        SealedTestError: ``split`` is test.
    """
    folder = Path(dataset)
    whole = load_split(folder, split)
    arrays = agent_split(policy.config, whole, forecasts_of(policy.config, folder.parent, split))
    environment = make_environment(
        policy.config,
        arrays,
        "backtest",
        cost_multiples=(cost_multiple,),
        extra_slippage_bps=(extra_slippage_bps,),
    )
    lineage = agent_lineage(policy.config, folder)
    policy.require(lineage, read_json(folder / "norm_stats.json"))
    return _backtest(policy, environment, arrays, str(lineage["contract_sha256"]))[0]
