"""``import truefill``, ``truefill.config`` and ``truefill --help`` stay light."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("jax", "jaxlib", "numpy", "polars", "pyarrow", "plotly", "equinox", "optax", "gymnasium",
         "optuna", "sqlalchemy")  # fmt: skip
HEAVY_FOR_HELP = (*HEAVY, "truefill.config.schema", "yaml", "rich.progress")


def loaded_after(program: str) -> tuple[set[str], str]:
    """Modules loaded once ``program`` has run in a fresh interpreter, and what it printed."""
    report = "\nimport sys; print('MODULES', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program + report],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    shown, _, modules = done.stdout.rpartition("MODULES")
    return set(modules.split()), shown


@pytest.mark.parametrize("module", ["truefill", "truefill.config.load", "truefill.core.files"])
def test_importing_pulls_in_nothing_heavy(module: str) -> None:
    modules, _ = loaded_after(f"import {module}")
    assert modules & {*HEAVY} == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["tune", "--help"], ["--version"]]
)
def test_help_pulls_in_nothing_heavy(arguments: list[str]) -> None:
    program = f"""
import sys
sys.argv = ["truefill", *{arguments!r}]
from truefill.__main__ import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None)
"""
    modules, shown = loaded_after(program)
    assert modules & {*HEAVY_FOR_HELP} == set()
    assert "truefill" in shown


def test_help_names_every_command_and_the_exit_codes() -> None:
    _, shown = loaded_after("""
import sys
sys.argv = ["truefill", "--help"]
from truefill.__main__ import main
try:
    main()
except SystemExit:
    pass
""")
    for command in ("new", "check", "run", "tune", "report", "runs", "ledger", "list", "schema"):
        assert f"\n  {command} " in shown
    assert "Exit codes: 0" in shown


def test_the_api_is_lazy_and_complete() -> None:
    program = """
import truefill
names = {"load_config", "run", "tune", "build_dataset", "make_env", "backtest", "load_bundle"}
assert names <= set(dir(truefill))
assert callable(truefill.load_config)
try:
    truefill.load_confg
except AttributeError as error:
    assert "load_confg" in str(error)
else:
    raise AssertionError
"""
    modules, _ = loaded_after(program)
    assert modules & {*HEAVY} == set()
