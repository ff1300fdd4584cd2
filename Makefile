# The two commands: `make run` and `make test`. Each sets everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test test-all fuzz meaning lint bench pictures clean

run: $(VENV)/.run
	@exec $(BIN)/fanlight serve

# A file's tests stay together: what they share is made once.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile

# Of processes that the tests start nothing is counted; the floor is just under what is measured.
test-all: $(VENV)/.dev
	HYPOTHESIS_PROFILE=new $(BIN)/python -m pytest -m "" --cov --cov-report=term:skip-covered

# Random bytes at the parsers, ten minutes; atheris has wheels for Linux and x86-64 alone.
fuzz: $(VENV)/.dev
	$(BIN)/python -m pip install -q --disable-pip-version-check atheris
	mkdir -p .fuzz && $(BIN)/python -m tests.fuzz.fuzz_jsonpush -max_total_time=600 .fuzz

# The weights for meaning: 84 MB fetched, 91 MB kept in the user's data home.
meaning: $(VENV)/.run
	@$(BIN)/fanlight models fetch meaning

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pictures of docs/images that show the page; needs Chromium (scripts/system-packages).
pictures: $(VENV)/.dev
	$(BIN)/python -m tests.browser.pictures

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Warnings of the build are for those who package, not for those who run.
$(VENV)/.run: pyproject.toml setup.py service/hub/send_row.c | $(BIN)/python
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --disable-pip-version-check -e .
	@# Without a network everything but speech works, and the start line says so.
	@$(BIN)/fanlight models fetch speech || true
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.run
	$(BIN)/python -m pip install -q --disable-pip-version-check "pip>=25.1"
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --disable-pip-version-check --group dev -e .
	@touch $@

# The tables of docs/performance.md. Needs a C compiler and redis-server; nginx with nchan for two of the peers.
bench: $(VENV)/.dev
	$(BIN)/python -m pip install -q --disable-pip-version-check websockets jiter ijson
	$(BIN)/python bench/fanout/run.py --picture docs/fanout.svg
	$(BIN)/python bench/fanout/join.py --picture docs/join.svg
	$(BIN)/python -m bench.parsing
	$(BIN)/python -m bench.doubled
	$(BIN)/python -m bench.pauses
	$(BIN)/python -m bench.store --picture docs/store.svg
	$(BIN)/python bench/gateway/run.py
	$(BIN)/python -m bench.structured --svg docs/structured.svg
