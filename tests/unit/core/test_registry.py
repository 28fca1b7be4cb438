"""Registries: names, parameters, and errors that help."""

from __future__ import annotations

import pytest
from pydantic import Field

from truefill.core.errors import ConfigError
from truefill.core.registry import Params, Registry


class Square(Params):
    """A square.

    With a second line.
    """

    side: float = Field(1.0, gt=0.0, description="length")


def shapes() -> Registry[object]:
    registry: Registry[object] = Registry("shape")
    registry.register("square", Square, corners=4)(lambda p: p.side**2)
    registry.register("circle", Square)(lambda p: p.side)
    return registry


def test_get_parse_and_iterate_in_the_order_of_names() -> None:
    registry = shapes()
    assert [entry.name for entry in registry] == ["circle", "square"]
    assert len(registry) == 2
    assert "square" in registry and "cube" not in registry
    entry = registry.get("square")
    assert entry.summary == "A square."
    assert entry.facts == {"corners": 4}
    assert registry.parse("square", {"side": 3}) == Square(side=3.0)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"no shape is called 'sqare'[\s\S]*Did you mean 'square'"
    ):
        shapes().get("sqare", where="here")


def test_an_unknown_parameter_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"parameter 'sid'[\s\S]*Did you mean 'side'"):
        shapes().parse("square", {"sid": 3})


@pytest.mark.parametrize("side", [0.0, -1.0, "wide", None])
def test_a_wrong_parameter_is_named(side: object) -> None:
    with pytest.raises(ConfigError, match="shape 'square', parameter 'side'"):
        shapes().parse("square", {"side": side})


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Square().side = 2.0  # type: ignore[misc]


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'square' is registered twice"):
        shapes().register("square", Square)(lambda p: 0)
