# `make run` and `make test` are all that a fresh clone needs; both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup run test test-slow test-all lint fuzz benchmark performance notebooks clean

help:
	@echo "make run        install, then measure every codec and write a report"
	@echo "make test       install, then lint, type-check and test"
	@echo "make test-slow  the tests that kill processes, start clusters, walk through pages in a browser, alter many streams"
	@echo "make test-all   both"
	@echo "make fuzz       decode 200,000 altered streams of all codecs: about 10 minutes of two cores"
	@echo "make benchmark  speed of the harness itself"
	@echo "make performance the same, and writes results/reference/PERFORMANCE.md"
	@echo "make notebooks  execute the notebooks over the real data, and store them"
	@echo "make clean      remove .venv and caches"

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "codecbench needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing codecbench and what it needs into $(VENV): about 2 minutes without a word from pip;"
	@echo "on Linux PyTorch comes with CUDA, several GB (the README says how to avoid that)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

setup: $(STAMP)

run: setup
	$(BIN)/codecbench run --codecs all
	@echo "To use the command codecbench, run \`source $(BIN)/activate\`, or call $(BIN)/codecbench."

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Most tests wait for processes that they start, so a few at a time take little more than one.
# One thread each: threads of several processes on the same cores spend their time waiting for one another.
export OMP_NUM_THREADS ?= 1
PARALLEL := --numprocesses auto --maxprocesses 4 --dist worksteal

test: lint
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-slow: setup
	$(BIN)/python -m pytest -m slow $(PARALLEL)

test-all: test test-slow

# FUZZ="200000 1" is another seed. Streams that do harm are left in .benchmarks/fuzz.
fuzz: setup
	PYTHONPATH=tests/codecs $(BIN)/python tests/codecs/fuzz.py $(FUZZ)

benchmark: setup
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable

# Needs the real data ($$CODECBENCH_DATA) and a quiet machine.
performance: setup
	mkdir -p .benchmarks
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-json=.benchmarks/performance.json
	$(BIN)/python docs/performance.py .benchmarks/performance.json --write

# The tests execute the notebooks too, on small settings, and store nothing.
notebooks: setup
	$(BIN)/python notebooks/execute.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
