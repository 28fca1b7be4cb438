"""A Chronos-Bolt model from a folder or the hub, in float32, whole and unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from truefill.core.errors import UsageError
from truefill.core.extras import need_extra
from truefill.core.fingerprint import fingerprint, sha256_file
from truefill.forecast.foundation.batches import Singles
from truefill.forecast.labels.base import Floats

ARCHITECTURE = "ChronosBoltModelForForecasting"


@dataclass(frozen=True)
class BoltModel:
    """A loaded model. ``levels`` f64[Q] of its quantiles, ascending; ``context_length`` and
    ``steps``: the most values that it takes, and tells."""

    network: Any
    pipeline: Any
    torch: Any
    levels: Floats
    context_length: int
    steps: int
    device: str

    @property
    def weights_sha256(self) -> str:
        """Of all weights by name, whatever file they came from."""
        digest = hashlib.sha256()
        for name, weight in sorted(self.network.state_dict().items()):
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def ask(self, context: Singles, steps: int) -> Singles:
        """f32[n, Q, steps] of f32[n, length]."""
        asked = self.torch.from_numpy(context)
        found = self.pipeline.predict(asked, prediction_length=steps, limit_prediction_length=True)
        return np.asarray(found.numpy(), np.float32)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """On a CPU one thread: with more, products are cut up by the size of the batch, which moves
        the last bits of a row."""
        before = self.torch.get_num_threads()
        if self.device == "cpu":
            self.torch.set_num_threads(1)
        try:
            yield
        finally:
            self.torch.set_num_threads(before)

    def memory_ended(self, error: BaseException) -> bool:
        """Is it that memory ran out? Lets go of what a GPU keeps in store."""
        ended = isinstance(error, MemoryError | self.torch.OutOfMemoryError)
        ended = ended or "can't allocate memory" in str(error)
        if ended and self.device != "cpu":
            self.torch.cuda.empty_cache()
        return ended


def folder_sha256(name: str) -> str | None:
    """SHA-256 of the configuration and weights in a folder, by file name, for the key of what is
    made with them; needs no extra. None of a name on the hub: its revision says which it is."""
    if not Path(name).is_dir():
        return None
    files = sorted([*Path(name).glob("config.json"), *Path(name).glob("*.safetensors")])
    return fingerprint({file.name: sha256_file(file) for file in files})


def load_bolt(name: str, *, revision: str | None, device: str, where: str) -> BoltModel:
    """The model in the folder ``name``, or on the hub at ``revision``.

    Raises:
        UsageError: the extra is not installed; no such model, or another architecture; weights are
            missing; no such device.
    """
    bolt = need_extra("chronos.chronos_bolt", "foundation", where=where)
    torch = need_extra("torch", "foundation", where=where)
    transformers = need_extra("transformers", "foundation", where=where)
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch finds no GPU here", where=where, do="device: cpu")
    options = _source(name, revision, where)
    try:
        config = transformers.AutoConfig.from_pretrained(name, **options)
        _check_architecture(name, config, where)
        with _quiet(transformers):
            network, found = _strict(bolt).from_pretrained(
                name, config=config, dtype=torch.float32, output_loading_info=True, **options
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UsageError(
            f"no model could be read from {name!r}: {str(error).splitlines()[0]}",
            where=where,
            do="name a folder with config.json and model.safetensors; a name on the hub needs the "
            "network, or a download beforehand (its folder is then the name)",
        ) from error
    _check_whole(name, found, where)
    network.to(device).eval()
    own = network.chronos_config
    return BoltModel(
        network=network,
        pipeline=bolt.ChronosBoltPipeline(network),
        torch=torch,
        levels=np.asarray(own.quantiles, np.float64),
        context_length=int(own.context_length),
        steps=int(own.prediction_length),
        device=device,
    )


def _source(name: str, revision: str | None, where: str) -> dict[str, Any]:
    """A folder is never looked for on the hub; a model on the hub has a commit."""
    if Path(name).is_dir():
        return {"local_files_only": True}
    if Path(name).is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise UsageError(f"there is no folder {name}", where=where, do="see parameter model")
    if revision is None:
        raise UsageError(
            f"{name!r} is no folder here, and as a name on the hub it needs a revision",
            where=where,
            do="give the folder of a saved model, or revision: the commit that is meant",
        )
    return {"revision": revision}


def _check_architecture(name: str, config: Any, where: str) -> None:
    given = list(getattr(config, "architectures", None) or [])
    if given != [ARCHITECTURE] or not hasattr(config, "chronos_config"):
        raise UsageError(
            f"{name!r} is no Chronos-Bolt model: its architecture is {given}, not {ARCHITECTURE}",
            where=where,
        )


def _strict(bolt: Any) -> Any:
    """The architecture, with no weight that may be missing: the library would draw it at random
    and say nothing."""
    base = getattr(bolt, ARCHITECTURE)
    return type(ARCHITECTURE, (base,), {"_keys_to_ignore_on_load_missing": []})


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the library's progress bars; what it reports of missing weights is raised here."""
    log = transformers.utils.logging
    bars, level = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _check_whole(name: str, found: dict[str, Any], where: str) -> None:
    missing = sorted(str(key) for key in found["missing_keys"])
    if missing:
        raise UsageError(
            f"weights of {name!r} are not all there: {', '.join(missing[:3])}",
            where=where,
            do="save or download the model again",
        )
