"""Policy bundle: weights, normalizer, feature contract and config in one folder; all that is needed
to act, and nothing else is used to act. The bundle of an ensemble holds those of its members; that
of a rule has no weights: its config says what it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from truefill.agents.bundle_files import (
    CONFIG,
    CONTRACT,
    MEMBERS,
    NORMALIZER,
    WEIGHTS,
    Facts,
    read_files,
)
from truefill.agents.bundle_files import FILES as FILES
from truefill.agents.bundle_files import INDEX as INDEX
from truefill.agents.checkpoint import load_tree, save_tree
from truefill.agents.encoders import ENCODERS
from truefill.agents.ensemble import Actor, Ensemble, Rule
from truefill.agents.ensemble import most_likely as most_likely
from truefill.agents.networks import ActorCritic, make_network
from truefill.core.errors import PolicyError
from truefill.core.files import write_bytes, write_json
from truefill.core.fingerprint import sha256_file
from truefill.core.plugins import load_plugins, sha256_of
from truefill.env.policies import POLICIES, Given, UserPolicy, make_policy
from truefill.market.types import Array

PLUGINS = "network_plugins"
"""Key of the contract: SHA-256 by name of the file that the network's encoder, or the rule, is
of."""
RULE = "agent.rule"
_most_likely = jax.jit(most_likely)


@dataclass(frozen=True)
class Bundle(Facts):
    """A policy that can act, and knows what it may act on."""

    network: Actor

    @staticmethod
    def decide(
        parameters: Actor, memory: Any, values: Array, legal: Array | None
    ) -> tuple[Array, Any]:
        """The most likely actions, [action_size, N], for observations [observation_size, N]."""
        return most_likely(parameters, memory, values, legal)

    def initial(self, count: int) -> Any:
        """What the network remembers of ``count`` accounts before their first bar."""
        return self.network.initial(count)

    def player(self) -> Player:
        """The policy for one account, bar after bar, from an episode's start."""
        return Player(self)

    @property
    def parameters(self) -> Actor:
        return self.network

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
    network: ActorCritic | None,
    config: dict[str, Any],
    lineage: dict[str, Any],
    norm_stats: dict[str, dict[str, float]],
    ancestors: list[dict[str, Any]] | None = None,
) -> None:
    """Write a bundle; ``bundle.json``, with the hash of every other file, comes last.
    ``network``: None of a rule, which the config names. ``ancestors``: what the policies had seen
    that the training began with (``warm.py``)."""
    contract = {
        key: lineage[key]
        for key in ("features", "contract_sha256", "symbols", "session", "interval_s")
    }
    if ancestors:
        contract["ancestors"] = ancestors
    if network is None:
        plugins = sha256_of(POLICIES, config["agent"]["rule"]["policy"])
    else:
        plugins = sha256_of(ENCODERS, network.config.encoder.kind)
    if plugins:
        contract[PLUGINS] = plugins
    save_tree(folder / WEIGHTS, () if network is None else network)
    write_json(folder / NORMALIZER, norm_stats)
    write_json(folder / CONTRACT, contract)
    write_json(folder / CONFIG, config)
    write_json(folder / INDEX, {"files": {name: sha256_file(folder / name) for name in FILES}})


def _require_plugins(folder: Path, facts: Facts) -> None:
    """Refuse a network whose encoder, or a rule, is not of the very file that it was made with."""
    rule = facts.config.agent.rule
    kind = facts.config.agent.network.encoder.kind if rule is None else rule.policy
    what = "the network's encoder" if rule is None else "the rule"
    found = sha256_of(ENCODERS, kind) if rule is None else sha256_of(POLICIES, kind)
    for name, digest in facts.contract.get(PLUGINS, {}).items():
        have = found.get(name)
        if have != digest:
            why = "is not loaded" if have is None else f"differs from the loaded one ({have[:12]})"
            raise PolicyError(
                f"{what} {kind!r} is of the plug-in {name} (SHA-256 {digest[:12]}), which {why}",
                where=str(folder),
                do=f"load_bundle(folder, plugins=['{name}']) with the file it was trained with",
            )


def save_ensemble(folder: Path, bundles: Mapping[int, Path], rule: Rule) -> list[str]:
    """Write the bundle of an ensemble: copies of the ``bundles`` of its seeds, in the order of the
    seeds, and last its own ``bundle.json`` with the rule and the hash of each member's. What the
    folder held before goes. Returns the names of all files."""
    shutil.rmtree(folder, ignore_errors=True)
    files = {}
    for seed in sorted(bundles):
        name = f"{MEMBERS}/seed-{seed}"
        (folder / name).mkdir(parents=True)
        for part in (*FILES, INDEX):
            write_bytes(folder / name / part, (bundles[seed] / part).read_bytes())
        files[f"{name}/{INDEX}"] = sha256_file(folder / name / INDEX)
    write_json(folder / INDEX, {"ensemble": rule, "members": list(files), "files": files})
    parts = [f"{MEMBERS}/seed-{seed}/{part}" for seed in sorted(bundles) for part in FILES]
    return [*parts, *files, INDEX]


def rule_of(facts: Facts) -> UserPolicy:
    """The rule of a bundle's config, made for its contract.

    Raises:
        ConfigError: there is no such policy, or it cannot be played.
    """
    rule = facts.config.agent.rule
    assert rule is not None
    given = Given.of(facts.spec, facts.contract, facts.norm_stats)
    return make_policy(rule.policy, rule.params, given, RULE)


def load_bundle(folder: str | Path, plugins: Iterable[str | Path] = ()) -> Bundle:
    """Read a bundle, verifying every file's hash first.

    Args:
        folder: the bundle.
        plugins: files of the user's own that the network needs; those that are loaded already, as
            in a run, need not be given.

    Raises:
        ArtifactError: a file is missing, changed, or does not fit the config.
        PolicyError: the network needs a plug-in that is not loaded, or another than is.
        ConfigError: a plug-in fails.
    """
    paths = [Path(path) for path in plugins]
    if paths:
        load_plugins(paths)
    files = read_files(Path(folder))
    facts = files.facts
    _require_plugins(Path(folder), facts)
    if facts.config.agent.rule is not None:
        return Bundle(**vars(facts), network=rule_of(facts).parameters)
    template = make_network(jax.random.PRNGKey(0), facts.spec, facts.config.agent)
    networks = tuple(load_tree(path, template)[0] for path in files.weights)
    network: Actor = networks[0]
    if files.rule is not None:
        decoder = facts.spec.decoder
        network = Ensemble(networks, files.rule, decoder.low, decoder.high)
    return Bundle(**vars(facts), network=network)
