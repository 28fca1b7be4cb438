"""Policy bundle: weights, normalizer, feature contract and config in one folder; all that is needed
to act, and nothing else is used to act."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.agents.checkpoint import load_tree, save_tree
from truefill.agents.networks import ActorCritic, Carry, best_action, make_network
from truefill.config.load import parse_config
from truefill.config.schema import Config
from truefill.core.errors import ArtifactError, PolicyError
from truefill.core.files import read_json, write_json
from truefill.core.fingerprint import fingerprint, sha256_file
from truefill.env.episodes import EnvSpec
from truefill.env.setup import spec_for
from truefill.market.types import Array

WEIGHTS = "weights.safetensors"
NORMALIZER = "norm_stats.json"
CONTRACT = "contract.json"
CONFIG = "config.json"
INDEX = "bundle.json"
FILES = (WEIGHTS, NORMALIZER, CONTRACT, CONFIG)


def most_likely(
    network: ActorCritic, carry: Carry, values: Array, legal: Array | None
) -> tuple[Array, Carry]:
    """The network's most likely actions, [action_size, N], and what it remembers after them."""
    carry, out, _ = network.step(carry, values, legal)
    return best_action(network, out), carry


_most_likely = jax.jit(most_likely)


@dataclass(frozen=True)
class Bundle:
    """A policy that can act, and knows what it may act on."""

    network: ActorCritic
    config: Config
    contract: dict[str, Any]
    """Feature contract, symbols and session, as in the dataset's lineage."""
    norm_stats: dict[str, dict[str, float]]
    spec: EnvSpec
    sha256: str

    @staticmethod
    def decide(
        parameters: ActorCritic, memory: Carry, values: Array, legal: Array | None
    ) -> tuple[Array, Carry]:
        """The most likely actions, [action_size, N], for observations [observation_size, N]."""
        return most_likely(parameters, memory, values, legal)

    def initial(self, count: int) -> Carry:
        """What the network remembers of ``count`` accounts before their first bar."""
        return self.network.initial(count)

    def player(self) -> Player:
        """The policy for one account, bar after bar, from an episode's start."""
        return Player(self)

    @property
    def parameters(self) -> ActorCritic:
        return self.network

    @property
    def contract_sha256(self) -> str:
        return str(self.contract["contract_sha256"])

    def require(self, lineage: dict[str, Any], norm_stats: dict[str, dict[str, float]]) -> None:
        """Refuse a dataset that the policy was not made for.

        Raises:
            PolicyError: its feature contract, symbols or normalizer differ from the bundle's.
        """
        if lineage["contract_sha256"] != self.contract_sha256:
            raise PolicyError(
                f"the policy's feature contract is {self.contract_sha256[:12]}, "
                f"the data's is {lineage['contract_sha256'][:12]}",
                do="train on this dataset, or give the dataset the policy was trained on",
            )
        if lineage["symbols"] != self.contract["symbols"]:
            raise PolicyError(
                f"the policy trades {', '.join(self.contract['symbols'])}, "
                f"the data hold {', '.join(lineage['symbols'])}"
            )
        if norm_stats != self.norm_stats:
            differ = sorted(n for n in norm_stats if norm_stats[n] != self.norm_stats.get(n))
            raise PolicyError(
                f"the data are normalized with other statistics than the policy's: "
                f"{', '.join(differ[:5])}",
                do="give the dataset the policy was trained on",
            )

    def act(
        self,
        observation: npt.ArrayLike,
        *,
        contract_sha256: str,
        legal: npt.ArrayLike | None = None,
    ) -> npt.NDArray[Any]:
        """The most likely action for one observation [observation_size]. A policy with memory acts
        as on an episode's first bar; :meth:`player` goes on from bar to bar.

        Args:
            observation: normalized features (oldest bar first), then account state.
            contract_sha256: hash of the feature contract the observation was built with.
            legal: bool [S, actions], where actions can be illegal.

        Returns:
            Actions [action_size], int32 or float32.

        Raises:
            PolicyError: another contract, a wrong length, or a value that is not finite.
        """
        return self.player().act(observation, contract_sha256=contract_sha256, legal=legal)

    def checked(
        self, observation: npt.ArrayLike, contract_sha256: str, legal: npt.ArrayLike | None
    ) -> tuple[Array, Array | None]:
        """One observation [observation_size, 1] and its legal actions [1, S, actions], as the
        network takes them; PolicyError as in :meth:`act`."""
        if contract_sha256 != self.contract_sha256:
            raise PolicyError(
                f"the observation's feature contract is {contract_sha256[:12]}, "
                f"the bundle's is {self.contract_sha256[:12]}"
            )
        values = np.asarray(observation, dtype=np.float32)
        if values.shape != (self.spec.observation_size,):
            raise PolicyError(
                f"the observation has shape {list(values.shape)}, "
                f"the bundle takes [{self.spec.observation_size}]"
            )
        if not np.all(np.isfinite(values)):
            at = np.flatnonzero(~np.isfinite(values)).tolist()
            raise PolicyError(f"the observation is not finite at positions {at[:5]}")
        if legal is None and self.spec.mask_illegal and self.spec.decoder.legal is not None:
            raise PolicyError("this policy's actions can be illegal", do="give `legal`")
        mask = None if legal is None else jnp.asarray(legal, bool)[None]
        return jnp.asarray(values)[:, None], mask


class Player:
    """One account's policy, with what it remembers.

    >>> player = bundle.player()                                             # doctest: +SKIP
    >>> action = player.act(observation, contract_sha256=bundle.contract_sha256)  # doctest: +SKIP
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.memory = bundle.initial(1)

    def act(
        self,
        observation: npt.ArrayLike,
        *,
        contract_sha256: str,
        legal: npt.ArrayLike | None = None,
    ) -> npt.NDArray[Any]:
        """The most likely action for the next bar's observation; arguments and errors as in
        :meth:`Bundle.act`. After an error nothing is remembered of that bar."""
        values, mask = self.bundle.checked(observation, contract_sha256, legal)
        action, self.memory = _most_likely(self.bundle.network, self.memory, values, mask)
        return np.asarray(action)[:, 0]

    def reset(self) -> None:
        """A new episode begins: forget."""
        self.memory = self.bundle.initial(1)


def save_bundle(
    folder: Path,
    network: ActorCritic,
    config: dict[str, Any],
    lineage: dict[str, Any],
    norm_stats: dict[str, dict[str, float]],
) -> None:
    """Write a bundle; ``bundle.json``, with the hash of every other file, comes last."""
    contract = {
        key: lineage[key]
        for key in ("features", "contract_sha256", "symbols", "session", "interval_s")
    }
    save_tree(folder / WEIGHTS, network)
    write_json(folder / NORMALIZER, norm_stats)
    write_json(folder / CONTRACT, contract)
    write_json(folder / CONFIG, config)
    write_json(folder / INDEX, {"files": {name: sha256_file(folder / name) for name in FILES}})


def load_bundle(folder: str | Path) -> Bundle:
    """Read a bundle, verifying every file's hash first.

    Raises:
        ArtifactError: a file is missing, changed, or does not fit the config.
    """
    folder = Path(folder)
    index = read_json(folder / INDEX)
    files = index.get("files") if isinstance(index, dict) else None
    if not isinstance(files, dict):
        raise ArtifactError("not the index of a bundle", where=str(folder / INDEX))
    for name in FILES:
        path, expected = folder / name, files.get(name)
        if not path.is_file():
            raise ArtifactError("the bundle's file is missing", where=str(path))
        if sha256_file(path) != expected:
            raise ArtifactError("the file does not match its hash", where=str(path))
    config = parse_config(read_json(folder / CONFIG), where=str(folder / CONFIG))
    contract = read_json(folder / CONTRACT)
    spec = spec_for(config, tuple(contract["symbols"]), len(contract["features"]))
    template = make_network(jax.random.PRNGKey(0), spec, config.agent)
    network, _ = load_tree(folder / WEIGHTS, template)
    return Bundle(
        network=network,
        config=config,
        contract=contract,
        norm_stats=read_json(folder / NORMALIZER),
        spec=spec,
        sha256=fingerprint(index),
    )
