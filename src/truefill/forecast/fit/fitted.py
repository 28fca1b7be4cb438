"""A fitted network: what its outputs mean, and its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from truefill.core.errors import ArtifactError, DataError, PolicyError
from truefill.core.files import read_arrays, read_json, write_arrays, write_json
from truefill.core.fingerprint import fingerprint, sha256_file
from truefill.core.plugins import sha256_of
from truefill.forecast.baselines.base import Forecast, History
from truefill.forecast.baselines.linear import softmax
from truefill.forecast.fit.epoch import outputs, positions
from truefill.forecast.fit.task import (
    CustomLoss,
    LossKey,
    NetworkTask,
    is_shape,
    task_facts,
    task_from,
    template_of,
)
from truefill.forecast.fit.windows import F32, Standard, Table, padded, rounded
from truefill.forecast.labels.base import Floats
from truefill.forecast.networks import NETWORKS, Inputs, Network
from truefill.forecast.networks.base import MakeNetwork
from truefill.forecast.scores import Kind
from truefill.nn.checkpoint import flatten, unflatten

MODEL, INDEX, FIT = "model.safetensors", "forecaster.json", "fit.json"
FILES = (MODEL, FIT, INDEX)


@dataclass(frozen=True)
class FittedNetwork:
    """A network that forecasts. ``standard``: of its inputs; ``scale`` f64[heads]: standard
    deviation of each label on the fitted rows (1 for classes); ``history``: a dict an epoch;
    ``facts``: rows, best epoch, why it stopped."""

    task: NetworkTask
    inputs: Inputs
    network: Network
    standard: Standard
    scale: Floats
    seed: int
    history: tuple[dict[str, Any], ...]
    facts: Mapping[str, Any]

    @property
    def kind(self) -> Kind:
        """What is forecast."""
        return self._key.kind

    @property
    def _key(self) -> LossKey:
        return LossKey.of(self.task.loss, self.task.classes)

    def predict(self, histories: Sequence[History]) -> tuple[Forecast, ...]:
        """Forecasts of all rows, history after history, one a head. A row's bits do not depend on
        the rows beside it.

        Raises:
            DataError: ``short_window``, ``feature_value``, ``no_rows``, or ``features``: another
                number of them than was fitted.
        """
        found = sorted({own.features.shape[1] for own in histories} - {self.inputs.features})
        if found:
            raise DataError(
                "features",
                f"the histories have {found[0]} features, the network was fitted to "
                f"{self.inputs.features}",
            )
        table = Table.of(histories, self.task.window_bars, self.task.features)
        values = self.standard.apply(table.features)
        on_device = jnp.asarray(padded(values, rounded(len(values))))
        weights, rest = eqx.partition(self.network, eqx.is_array)
        raw = outputs(weights, rest, on_device, table.at, self.task.window_bars)
        return tuple(forecasts(raw, self._key, self.scale))

    def save(self, folder: Path) -> list[str]:
        """Write the network into ``folder``, its index last; returns the names of its files."""
        weights, _ = eqx.partition(self.network, eqx.is_array)
        arrays = {
            **flatten(weights, "network"),
            "mean": self.standard.mean,
            "std": self.standard.std,
            "scale": self.scale,
        }
        write_arrays(folder / MODEL, arrays)
        write_json(folder / FIT, {**self.facts, "history": list(self.history)})
        told: dict[str, Any] = {
            "task": task_facts(self.task),
            "kind": self.kind,
            "features": self.inputs.features,
            "seed": self.seed,
            "files": {name: sha256_file(folder / name) for name in (MODEL, FIT)},
        }
        write_json(folder / INDEX, {**told, "sha256": fingerprint(told)})
        return list(FILES)


def load_network(
    folder: Path, *, network: MakeNetwork | None = None, loss: CustomLoss | None = None
) -> FittedNetwork:
    """What :meth:`FittedNetwork.save` wrote; it predicts the same bits.

    Args:
        folder: its files.
        network, loss: the maker and the loss, where they are the user's own (the loss is needed
            only to fit again).

    Raises:
        ArtifactError: a file is missing, changed or does not fit.
        PolicyError: the network is of a plug-in or maker that is not there, or another than was.
    """
    index = read_json(folder / INDEX)
    told = {key: value for key, value in index.items() if key != "sha256"}
    if fingerprint(told) != index.get("sha256"):
        raise ArtifactError("the index does not match its hash", where=str(folder / INDEX))
    for name, expected in index["files"].items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError("the forecaster's file is missing", where=str(path))
        if sha256_file(path) != expected:
            raise ArtifactError("the file does not match its hash", where=str(path))
    _require_network(folder, index["task"], network)
    task = task_from(index["task"], network, loss)
    key = LossKey.of(task.loss, task.classes)
    inputs = Inputs(task.window_bars, index["features"], len(task.labels), key.outputs)
    arrays, _ = read_arrays(folder / MODEL)
    shapes, rest = eqx.partition(template_of(task, inputs), is_shape)
    weights = unflatten(shapes, arrays, "network", str(folder / MODEL))
    facts = read_json(folder / FIT)
    return FittedNetwork(
        task=task,
        inputs=inputs,
        network=eqx.combine(weights, rest),
        standard=Standard(arrays["mean"], arrays["std"]),
        scale=arrays["scale"],
        seed=index["seed"],
        history=tuple(facts.pop("history")),
        facts=facts,
    )


def _require_network(folder: Path, task: Mapping[str, Any], given: MakeNetwork | None) -> None:
    """Refuse a network whose code is not the one that was fitted."""
    name = task["network"]
    if task["custom_network"]:
        if given is None:
            raise PolicyError(
                f"the network is {name}, of the user's own",
                where=str(folder),
                do="give it: load_network(folder, network=...)",
            )
        return
    found = sha256_of(NETWORKS, name)
    if found != task["plugins"]:
        told = ", ".join(f"{file} {sha[:12]}" for file, sha in task["plugins"].items())
        raise PolicyError(
            f"the network {name!r} is of {told or 'truefill'}, the one that is loaded is not",
            where=str(folder),
            do="load the plug-in that it was fitted with",
        )


def decode(output: F32, *, key: LossKey, scale: Floats) -> list[tuple[Floats, Floats | None]]:
    """Values and probabilities of raw outputs f32[n, heads, outputs], by head."""
    found = forecasts(output, key, scale)
    return [(one.value, one.probability) for one in found]


def forecasts(output: F32, key: LossKey, scale: Floats) -> list[Forecast]:
    """What raw outputs f32[n, heads, outputs] mean, by head.

    class: softmax of the outputs. position: by the loss, -1 .. 1. real: output x scale. quantile:
    the outputs x scale, ascending (where they cross, a row's are sorted); the value is the one
    nearest to the median.
    """
    kind, heads = key.kind, range(output.shape[1])
    wide = output.astype(np.float64)
    if kind == "class":
        return [Forecast.of(softmax(wide[:, h])) for h in heads]
    if kind == "position":
        held = positions(output, key).astype(np.float64)
        return [Forecast(held[:, h, 0]) for h in heads]
    if kind == "real":
        return [Forecast(wide[:, h, 0] * scale[h]) for h in heads]
    levels = key.quantiles
    middle = min(range(len(levels)), key=lambda i: (abs(levels[i] - 0.5), i))
    names = [f"q{100 * level:.6g}".replace(".", "_") for level in levels]
    out = []
    for h in heads:
        ordered = np.sort(wide[:, h], axis=1) * scale[h]
        extra = {name: ordered[:, i] for i, name in enumerate(names)}
        out.append(Forecast(ordered[:, middle], None, extra))
    return out
