"""A session that drops every bar is named as such."""

from __future__ import annotations

import pytest

from config_cases import base_tree, put
from truefill.config.load import parse_config
from truefill.core.errors import DataError
from truefill.features.build import build_dataset


def test_a_session_that_leaves_no_bar() -> None:
    tree = base_tree()
    put(tree, "data.session", {"start": "10:10", "end": "10:20"})
    with pytest.raises(DataError, match="leaves none of") as caught:
        build_dataset(parse_config(tree))
    assert (caught.value.rule, caught.value.where) == ("empty_session", "data.session")
