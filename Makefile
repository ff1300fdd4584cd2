# The two commands: `make run` and `make test`. Each sets everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-all meaning lint bench clean

run: $(VENV)/.run
	@exec $(BIN)/fanlight serve

test: $(VENV)/.dev
	$(BIN)/python -m pytest

test-all: $(VENV)/.dev
	HYPOTHESIS_PROFILE=new $(BIN)/python -m pytest -m ""

# The weights for meaning: 84 MB fetched, 91 MB kept in the user's data home.
meaning: $(VENV)/.run
	@$(BIN)/python scripts/meaning

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.run
	$(BIN)/python -m pip install -q --disable-pip-version-check "pip>=25.1"
	$(BIN)/python -m pip install -q --disable-pip-version-check --group dev -e .
	@touch $@

# The tables of docs/performance.md. Needs a C compiler; nginx with nchan for two of the peers.
bench: $(VENV)/.dev
	$(BIN)/python -m pip install -q --disable-pip-version-check websockets jiter ijson
	$(BIN)/python bench/fanout/run.py
	$(BIN)/python bench/gateway/run.py
	$(BIN)/python bench/structured.py
