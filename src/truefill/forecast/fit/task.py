"""What a fit is asked: which network, on which window, lowering which loss, for which labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from truefill.config.forecast import FitConfig, LossConfig
from truefill.core.errors import ConfigError
from truefill.core.plugins import blamed, sha256_of
from truefill.core.registry import Entry, Params
from truefill.forecast.labels.base import LABELS, FittedLabel
from truefill.forecast.losses import TargetFacts, build_loss
from truefill.forecast.networks import NETWORKS, Inputs, Network
from truefill.forecast.networks.base import MakeNetwork
from truefill.forecast.scores import Kind
from truefill.market.types import Array

CustomLoss = Callable[[Array, Array], Array]
"""(prediction, target) -> a scalar, in jax. target float32 [n, heads]: classes, or quantities in
units of their spread; prediction float32, of the target's shape and unit; for classes logits
[n, heads, classes]. There are no nulls: rows without every label take no part."""


@dataclass(frozen=True)
class NetworkTask:
    """One fit of a network.

    network: a registered name, or a maker (key, params, inputs) -> Network, such as a class.
    params: the network's; of a maker whatever it takes. window_bars: bars that it sees. loss: a
    config, or a function of the user's own (:data:`CustomLoss`). labels: fitted, one a head; all
    ask for classes, or all for a quantity. features: names of the inputs, for messages.
    """

    network: str | MakeNetwork
    params: Mapping[str, Any]
    window_bars: int
    loss: LossConfig | CustomLoss
    fit: FitConfig
    labels: tuple[FittedLabel, ...]
    features: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """3, or 0 for a quantity."""
        return self.labels[0].classes


@dataclass(frozen=True)
class LossKey:
    """A loss by what makes it, so that two of them are equal when they mean the same: a compiled
    fit is found again by it. ``config``: JSON of a ``LossConfig``, or the user's function."""

    config: str | CustomLoss
    classes: int

    @staticmethod
    def of(loss: LossConfig | CustomLoss, classes: int) -> LossKey:
        """Of a task's loss."""
        key = loss.model_dump_json() if isinstance(loss, LossConfig) else loss
        return LossKey(key, classes)

    @property
    def custom(self) -> bool:
        """Is it a function of the user's own?"""
        return not isinstance(self.config, str)

    @property
    def outputs(self) -> int:
        """Values that a head predicts."""
        if isinstance(self.config, str):
            return build_loss(LossConfig.model_validate_json(self.config)).outputs
        return self.classes or 1

    @property
    def kind(self) -> Kind:
        """What predictions mean."""
        if self.classes:
            return "class"
        if not isinstance(self.config, str):
            return "real"
        loss = build_loss(LossConfig.model_validate_json(self.config))
        if loss.position is not None:
            return "position"
        return "quantile" if loss.outputs > 1 else "real"

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The levels of the outputs, where ``kind`` is quantile."""
        assert isinstance(self.config, str)
        loss = build_loss(LossConfig.model_validate_json(self.config))
        return tuple(loss.terms[0][2].quantiles)  # type: ignore[attr-defined]

    def position(self, output: Array) -> Array:
        """Positions in -1 .. 1 of raw outputs, where ``kind`` is position."""
        assert isinstance(self.config, str)
        position = build_loss(LossConfig.model_validate_json(self.config)).position
        assert position is not None
        return position(output)

    def __call__(self, output: Array, target: Array, scale: Array, balanced: Array | None) -> Array:
        """The loss of raw outputs [n, heads, outputs] against targets [n, heads] (NaN: null) in
        units of ``scale`` [heads]; ``balanced`` [heads, classes]: weights of the classes."""
        if not isinstance(self.config, str):
            return self.config(output if self.classes else output[..., 0], target)
        loss = build_loss(LossConfig.model_validate_json(self.config))

        def head(out: Array, wanted: Array, unit: Array, weights: Array | None) -> Array:
            facts = TargetFacts(scale=unit, balanced=weights)
            return loss.in_units(out if loss.outputs > 1 else out[:, 0], wanted, facts)

        weighted = None if balanced is None else 0
        each = jax.vmap(head, in_axes=(1, 1, 0, weighted))(output, target, scale, balanced)
        there = jnp.any(jnp.isfinite(target), axis=0)
        return jnp.sum(jnp.where(there, each, 0.0)) / jnp.maximum(jnp.sum(there), 1)


def check(task: NetworkTask) -> LossKey:
    """The task's loss, once it suits the labels.

    Raises:
        ConfigError: no label, labels of classes beside quantities, or a loss for the other kind of
            target or another number of classes.
    """
    if not task.labels:
        raise ConfigError("a network needs at least one label", where="labels")
    if len({label.classes for label in task.labels}) > 1:
        raise ConfigError("labels of classes and of quantities in one network", where="labels")
    key = LossKey.of(task.loss, task.classes)
    if not isinstance(task.loss, LossConfig):
        return key
    loss = build_loss(task.loss)
    asked = "class" if task.classes else "real"
    if loss.target != asked:
        raise ConfigError(
            f"the loss is for {loss.target} targets, the label {task.labels[0].name} is {asked}",
            where="loss",
            do="choose a loss for the label (docs/forecast-skill.md)",
        )
    if task.classes and loss.outputs != task.classes:
        raise ConfigError(f"the loss is of {loss.outputs} classes, the label of {task.classes}")
    return key


def make_network(task: NetworkTask, inputs: Inputs, key: Array) -> Network:
    """The task's network with its initial weights; refuses what :func:`template_of` does."""
    template_of(task, inputs)
    return _maker(task)(key, inputs)


def template_of(task: NetworkTask, inputs: Inputs) -> Network:
    """The task's network with shapes in place of arrays; nothing is computed.

    Raises:
        ConfigError: an unknown name or parameter, a maker that fails, an array that is not float32,
            or outputs of another shape than [rows, heads, outputs] float32.
    """
    make, where = _maker(task), f"network {name_of(task)}"
    made: Network = eqx.filter_eval_shape(lambda key: make(key, inputs), jax.random.PRNGKey(0))
    for path, leaf in jax.tree_util.tree_flatten_with_path(made)[0]:
        if is_shape(leaf) and leaf.dtype != jnp.float32:
            raise ConfigError(
                f"its array {jax.tree_util.keystr(path)} is {leaf.dtype}",
                where=where,
                do="every array of a network is learned, and float32",
            )
    x = jax.ShapeDtypeStruct((inputs.window, inputs.features, _TRIAL), jnp.float32)
    found = eqx.filter_eval_shape(lambda network, x: network(x, None), made, x)
    wanted = (_TRIAL, inputs.heads, inputs.outputs)
    if getattr(found, "shape", None) != wanted or found.dtype != jnp.float32:
        raise ConfigError(
            f"it gives {found}, where float32{list(wanted)} is asked: rows, heads, outputs",
            where=where,
        )
    return made


_TRIAL = 13
"""Rows of the trial that tells what a network gives."""


def is_shape(leaf: Any) -> bool:
    """Does it stand for an array in a template?"""
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _maker(task: NetworkTask) -> Callable[[Array, Inputs], Network]:
    if not isinstance(task.network, str):
        maker, params = task.network, dict(task.params)
        return lambda key, inputs: maker(key, params, inputs)
    entry: Entry[MakeNetwork] = NETWORKS.get(task.network)
    parsed: Params = NETWORKS.parse(task.network, task.params)

    def make(key: Array, inputs: Inputs) -> Network:
        with blamed(entry, f"network {entry.name}"):
            return entry.make(key, parsed, inputs)

    return make


def name_of(task: NetworkTask) -> str:
    """The network's registered name, or that of the user's own maker."""
    if isinstance(task.network, str):
        return task.network
    return str(getattr(task.network, "__qualname__", type(task.network).__name__))


def task_facts(task: NetworkTask) -> dict[str, Any]:
    """The task as JSON; of a maker or loss of the user's own its name."""
    own = not isinstance(task.network, str)
    loss = task.loss
    params = task.params if own else NETWORKS.parse(str(task.network), task.params).model_dump()
    return {
        "network": name_of(task),
        "custom_network": own,
        "params": json.loads(json.dumps(dict(params), default=str)),
        "plugins": {} if own else sha256_of(NETWORKS, str(task.network)),
        "window_bars": task.window_bars,
        "loss": loss.model_dump(mode="json") if isinstance(loss, LossConfig) else None,
        "custom_loss": None if isinstance(loss, LossConfig) else getattr(loss, "__name__", "loss"),
        "fit": task.fit.model_dump(mode="json"),
        "labels": [
            {"label": one.name, "params": one.params.model_dump(mode="json"),
             "thresholds": dict(one.thresholds)}
            for one in task.labels
        ],
        "features": list(task.features),
    }  # fmt: skip


def task_from(facts: Mapping[str, Any], network: MakeNetwork | None, loss: Any) -> NetworkTask:
    """The task that :func:`task_facts` told; makers and losses of the user's own are given again
    (a loss may be missing: it is needed only for fitting)."""
    return NetworkTask(
        network=facts["network"] if network is None else network,
        params=facts["params"],
        window_bars=facts["window_bars"],
        loss=_no_loss if facts["loss"] is None and loss is None
        else loss if facts["loss"] is None else LossConfig(**facts["loss"]),
        fit=FitConfig(**facts["fit"]),
        labels=tuple(
            FittedLabel(one["label"], LABELS.parse(one["label"], one["params"]), one["thresholds"])
            for one in facts["labels"]
        ),
        features=tuple(facts["features"]),
    )  # fmt: skip


def _no_loss(prediction: Array, target: Array) -> Array:
    raise ConfigError("the loss of a loaded network is the user's own", do="fit it anew with it")
