# Everything runs in one virtual environment, .venv, made on first use.
PYTHON ?= python3
BIN := .venv/bin
# threads that wait must not spin: other work may share the processors
export OMP_WAIT_POLICY ?= PASSIVE

# in two processes, each file of tests in one of them
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test gpu slow check perf clean

.venv/.base: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	touch $@

.venv/.dev: .venv/.base
	$(BIN)/python -m pip install --quiet -e ".[test,dev]"
	touch $@

demo: .venv/.base        ## score the toy model and its null rows on a simulated brain
	$(BIN)/bench run suite=smoke

test: .venv/.dev         ## everything that takes seconds
	$(BIN)/python -m pytest -m "not slow and not gpu" $(PARALLEL)

gpu: .venv/.dev          ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

slow: .venv/.dev         ## the tests that take minutes
	$(BIN)/python -m pytest -m "slow and not gpu" $(PARALLEL)

check: .venv/.dev        ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

perf: .venv/.dev         ## ratios against the named peers, measured in one run
	$(BIN)/python -m tests.performance

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
