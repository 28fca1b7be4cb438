# What a person and the CI call; each target says what it does (`make help`).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-sb3 setup-foundation run demo test test-slow check format bench bench-rivals-setup docs lock clean

BIN := .venv/bin
CONFIG ?= examples/usdcop_ppo.yaml
RUNS ?= runs
PYTEST_WORKERS ?= 2
export TRUEFILL_TEST_CACHE := $(CURDIR)/.cache

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.installed ## make .venv and install the locked versions (does nothing when they are there)

# Any Python >= 3.11 will do; PYTHON=/path/to/python chooses one.
.venv/.installed: requirements.lock pyproject.toml
	@python="$$(sh .ci/find-python "$${PYTHON:-}")"; \
	echo "setting up .venv with $$("$$python" --version)"; \
	test -x $(BIN)/python || "$$python" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-virtualenv -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-virtualenv --no-deps --no-build-isolation -e .
	@touch $@

setup-sb3: setup ## add the extra sb3 (Stable-Baselines3, torch) to .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-virtualenv -r requirements.lock -r requirements-sb3.lock

setup-foundation: setup ## add the extra foundation (Chronos-Bolt, torch) to .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-virtualenv -r requirements.lock -r requirements-foundation.lock

run: setup ## run one config: make run CONFIG=my.yaml
	@$(BIN)/truefill run $(CONFIG) --runs $(RUNS)

demo: setup ## the quickstart on the embedded real sample; prints where the report is
	@$(BIN)/truefill run examples/quickstart.yaml --runs $(RUNS)

test: setup check ## linters, types, layers, and all fast tests
	$(BIN)/python -m pytest -m "not slow" -n $(PYTEST_WORKERS) --dist loadfile

test-slow: setup ## kills, learning, whole examples
	$(BIN)/python -m pytest -m slow

check: setup ## linters, types and layers only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: setup ## rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## the market, learning and backtests a second, and against other libraries
	$(BIN)/python benchmarks/bench_ppo.py
	$(BIN)/python benchmarks/bench_market.py

bench-rivals-setup: ## make .venv-rivals with the other libraries that bench measures
	@test -x .venv-rivals/bin/python || \
		"$$(sh .ci/find-python "$${PYTHON:-}")" -m venv .venv-rivals
	@.venv-rivals/bin/python -m pip install --quiet --disable-pip-version-check \
		--require-virtualenv -r requirements.lock -r benchmarks/requirements-rivals.txt

docs: setup ## write docs/config.md and the tables of docs/features.md from the code
	$(BIN)/python -m truefill schema --markdown > docs/config.md.partial
	@mv docs/config.md.partial docs/config.md
	$(BIN)/python -m truefill.features.document docs/features.md

lock: ## write requirements.lock again (needs uv)
	@{ sed -n '/^#/p' requirements.lock; \
	uv pip compile pyproject.toml --universal --python-version 3.11 --extra dev --extra tensorboard --extra alpaca --extra boosting --extra ccxt --extra polygon --extra postgresql --extra yfinance \
		--no-header --no-annotate --no-emit-index-url --quiet --upgrade; } > requirements.lock.partial
	@mv requirements.lock.partial requirements.lock

clean: ## remove .venv and caches (never runs/)
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
