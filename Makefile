.PHONY: setup run test demo check bench
PYTHON ?= python3
BIN := .venv/bin

setup: .venv/.ready

.venv/.ready: pyproject.toml
	@echo "downloading what meshpeer needs into .venv: this takes a minute or so"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/python -m compileall -q meshpeer store transports
	@touch $@

run: setup
	@$(BIN)/meshpeer run

test: setup
	$(BIN)/python -m pytest -q -n auto

demo: setup
	@$(BIN)/meshpeer demo

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks
