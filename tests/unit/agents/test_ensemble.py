"""Several networks as one policy: the rules by hand, members as they are alone, files verified."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from config_cases import base_tree, put
from truefill.agents.bundle import Bundle, load_bundle, save_bundle, save_ensemble
from truefill.agents.ensemble import Ensemble, Rule, most_likely
from truefill.agents.networks import make_network
from truefill.config.load import parse_config, portable
from truefill.core.errors import ArtifactError
from truefill.env.setup import spec_for
from truefill.market.types import Array


class Fixed(eqx.Module):
    """A member that always says ``out``: logits [H, A, N], or means [H, N]."""

    out: Array
    num_actions: int = eqx.field(static=True)

    def initial(self, count: int) -> tuple[()]:
        return ()

    def step(self, carry: Any, values: Any, legal: Array | None) -> tuple[Any, Array, Array]:
        out = self.out
        if legal is not None:
            out = jnp.where(jnp.transpose(legal, (1, 2, 0)), out, jnp.float32(-1e9))
        return carry, out, jnp.zeros(1)


def chosen(rule: Rule, probabilities: list[list[float]], legal: list[bool] | None = None) -> int:
    """The action of one account with one head; a row of ``probabilities`` a member."""
    logits = jnp.log(jnp.asarray(probabilities, jnp.float32))[:, None, :, None]
    members: Any = tuple(Fixed(row, len(probabilities[0])) for row in logits)
    mask = None if legal is None else jnp.asarray(legal)[None, None]
    action, _ = Ensemble(members, rule, -1.0, 1.0).decide(((),) * len(members), jnp.zeros(1), mask)
    assert action.shape == (1, 1) and action.dtype == jnp.int32
    return int(action[0, 0])


@pytest.mark.parametrize(
    ("rule", "rows", "legal", "expected"),
    [
        # Two lukewarm votes outnumber a sure one; the mean goes the other way.
        ("vote", [[0.4, 0.6], [0.45, 0.55], [0.95, 0.05]], None, 1),
        ("mean", [[0.4, 0.6], [0.45, 0.55], [0.95, 0.05]], None, 0),
        # One vote each: the larger summed probability, then the smaller index.
        ("vote", [[0.5, 0.3, 0.2], [0.2, 0.7, 0.1]], None, 1),
        ("vote", [[0.7, 0.1, 0.2], [0.2, 0.1, 0.7]], None, 0),
        ("vote", [[0.1, 0.7, 0.2], [0.1, 0.2, 0.7]], None, 1),
        # What nobody votes for does not win by its sum: 2 has the largest.
        ("vote", [[0.52, 0.0, 0.48], [0.0, 0.52, 0.48]], None, 0),
        ("mean", [[0.52, 0.0, 0.48], [0.0, 0.52, 0.48]], None, 2),
        # A forbidden action has no votes and no probability.
        ("vote", [[0.8, 0.1, 0.1], [0.9, 0.04, 0.06]], [False, True, True], 2),
        ("mean", [[0.8, 0.15, 0.05], [0.9, 0.01, 0.09]], [False, True, True], 2),
        ("vote", [[0.8, 0.1, 0.1], [0.9, 0.04, 0.06]], [False, False, True], 2),
    ],
)
def test_discrete_rules_by_hand(
    rule: Rule, rows: list[list[float]], legal: list[bool] | None, expected: int
) -> None:
    assert chosen(rule, rows, legal) == expected
    if legal is None and rows[0] != rows[0][::-1]:
        assert chosen(rule, [rows[0]]) == int(np.argmax(rows[0]))


@pytest.mark.parametrize(
    ("rule", "means", "expected"),
    [
        ("mean", [0.2, 0.4, 0.9], 0.5),
        ("vote", [0.2, 0.4, 0.9], 0.4),
        ("vote", [0.2, 0.4, 0.9, -1.0], 0.3),
        ("mean", [50.0, -0.5, -0.5], 0.0),  # beyond the decoder's range a shout is a 1
        ("vote", [50.0, 40.0, 0.5], 1.0),
        ("mean", [-7.0], -1.0),
    ],
)
def test_continuous_rules_by_hand(rule: Rule, means: list[float], expected: float) -> None:
    members: Any = tuple(Fixed(jnp.full((1, 1), x, jnp.float32), 0) for x in means)
    value, _ = Ensemble(members, rule, -1.0, 1.0).decide(((),) * len(means), jnp.zeros(1), None)
    assert value.dtype == jnp.float32
    assert float(value[0, 0]) == pytest.approx(expected, abs=1e-7)


# ---- members


AGENTS: dict[str, dict[str, Any]] = {
    "ppo": {"kind": "ppo", "network": {"hidden": [8]}},
    "gru": {"kind": "recurrent_ppo", "network": {"hidden": [8]},
            "memory": {"cell": "gru", "units": 6}},
}  # fmt: skip
CONTRACT = {
    "features": [{"name": "r"}, {"name": "r4"}], "contract_sha256": "c" * 64, "symbols": ["SYN1"],
    "session": None, "interval_s": 3600.0,
}  # fmt: skip


def bundle_of(folder: Path, seed: int, learner: str, contract: dict[str, Any] = CONTRACT) -> Bundle:
    """A fresh network whose weights are loud, so that its actions differ."""
    tree = base_tree()
    put(tree, "agent", AGENTS[learner])
    put(tree, "env.action.kind", "short_flat_long")
    put(tree, "market.allow_short", True)
    config = parse_config(tree)
    spec = spec_for(config, ("SYN1",), 2)
    fresh = make_network(jax.random.PRNGKey(seed), spec, config.agent)
    loud = jax.tree.map(lambda leaf: leaf * 10.0 if leaf.ndim == 2 else leaf, fresh)
    save_bundle(folder, loud, portable(config), contract, {"r": {"mean": 0.0, "std": 1.0}})
    return load_bundle(folder)


@pytest.fixture(scope="module", params=[pytest.param("ppo", marks=pytest.mark.slow), "gru"])
def members(request: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Bundles of three seeds."""
    base = tmp_path_factory.mktemp(request.param)
    for seed in (1, 2, 10):
        bundle_of(base / str(seed), seed, request.param)
    return {seed: base / str(seed) for seed in (10, 1, 2)}


@pytest.mark.parametrize("rule", ["vote", "mean"])
def test_members_are_bit_for_bit_what_they_are_alone(
    members: dict[int, Path], tmp_path: Path, rule: Rule
) -> None:
    """In one compiled scan of 40 bars, memories included; and the ensemble follows from them."""
    save_ensemble(tmp_path / "e", members, rule)
    bundle = load_bundle(tmp_path / "e")
    alone = [load_bundle(members[seed]) for seed in (1, 2, 10)]
    size = bundle.spec.observation_size
    seen = np.random.default_rng(0).normal(size=(40, size, 5)).astype(np.float32)

    def play(network: Any, decide: Any) -> Any:
        def one_bar(carry: Any, values: Array) -> Any:
            action, carry = decide(network, carry, values)
            return carry, (action, carry)

        return jax.lax.scan(one_bar, network.initial(5), seen)[1]

    together: Any = bundle.network
    actions, carries = jax.jit(lambda n: play(n, lambda n, c, v: n.each(c, v, None)))(together)
    for i, one in enumerate(alone):
        own, carry = jax.jit(lambda n: play(n, lambda n, c, v: most_likely(n, c, v, None)))(
            one.network
        )
        assert np.asarray(own).tobytes() == np.asarray(actions[:, i]).tobytes()
        mine = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(carries[i])]
        assert mine == [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(carry)]
    assert len(np.unique(actions)) == 3
    if rule == "vote":
        decided, _ = jax.jit(lambda n: play(n, lambda n, c, v: n.decide(c, v, None)))(together)
        votes = np.stack([(np.asarray(actions) == a).sum(axis=1) for a in range(3)])
        clear = votes.max(axis=0) >= 2
        assert 0.3 < clear.mean() < 1.0
        assert np.array_equal(np.asarray(decided)[clear], votes.argmax(axis=0)[clear])


def test_a_bundle_of_an_ensemble_acts_bar_by_bar(members: dict[int, Path], tmp_path: Path) -> None:
    """act() and player() as of any bundle; the order in which seeds are given does not matter."""
    save_ensemble(tmp_path / "one", members, "mean")
    save_ensemble(tmp_path / "two", dict(sorted(members.items())), "mean")
    one, two = load_bundle(tmp_path / "one"), load_bundle(tmp_path / "two")
    assert one.sha256 == two.sha256
    assert one.sha256 != load_bundle(members[1]).sha256
    player, contract = one.player(), one.contract_sha256
    rows = np.random.default_rng(1).normal(size=(30, one.spec.observation_size))
    acted = [player.act(row, contract_sha256=contract).item() for row in rows]
    assert len(set(acted)) >= 2
    first = [two.act(row, contract_sha256=contract).item() for row in rows]
    network: Any = one.network
    assert (acted == first) == (not network.members[0].memories)
    player.reset()
    assert [player.act(row, contract_sha256=contract).item() for row in rows] == acted


def test_an_ensemble_of_one_is_its_member(members: dict[int, Path], tmp_path: Path) -> None:
    save_ensemble(tmp_path / "e", {2: members[2]}, "vote")
    one, alone = load_bundle(tmp_path / "e").player(), load_bundle(members[2]).player()
    for row in np.random.default_rng(2).normal(size=(20, one.bundle.spec.observation_size)):
        own = alone.act(row, contract_sha256=CONTRACT["contract_sha256"])
        assert own == one.act(row, contract_sha256=CONTRACT["contract_sha256"])


# ---- files


def test_a_damaged_member_is_named(members: dict[int, Path], tmp_path: Path) -> None:
    names = save_ensemble(tmp_path / "e", members, "vote")
    found = {p.relative_to(tmp_path / "e").as_posix() for p in (tmp_path / "e").rglob("*.*")}
    assert set(names) == found
    for name in names:
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(tmp_path / "e", copy)
        data = bytearray((copy / name).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / name).write_bytes(data)
        with pytest.raises(ArtifactError):
            load_bundle(copy)
        (copy / name).unlink()
        with pytest.raises(ArtifactError, match=r"missing|does not exist"):
            load_bundle(copy)


def test_members_must_belong_together(members: dict[int, Path], tmp_path: Path) -> None:
    other = {**CONTRACT, "contract_sha256": "d" * 64}
    bundle_of(tmp_path / "other", 3, "ppo", other)
    save_ensemble(tmp_path / "mixed", {**members, 3: tmp_path / "other"}, "vote")
    with pytest.raises(ArtifactError, match="share config, contract and normalizer"):
        load_bundle(tmp_path / "mixed")


def test_what_an_earlier_ensemble_left_goes(members: dict[int, Path], tmp_path: Path) -> None:
    save_ensemble(tmp_path / "e", members, "vote")
    save_ensemble(tmp_path / "e", {1: members[1], 2: members[2]}, "mean")
    assert sorted(p.name for p in (tmp_path / "e/members").iterdir()) == ["seed-1", "seed-2"]
    bundle: Any = load_bundle(tmp_path / "e").network
    assert len(bundle.members) == 2
