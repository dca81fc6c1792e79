# `make demo` and `make test` are the two commands of the README; each makes .venv when there is none.
# `make check` is for whoever changes the code: lint, types, and the tests that are not marked slow.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test check test-extras room-for-programs docs bench clean

demo: $(VENV)/.installed
	$(BIN)/nucleate demo

# What JAX compiles is kept for the other processes of a run, and for the next run. A limit of JAX's own would look at
# every file for each program that it keeps, which took longer than compiling most of them.
test check test-extras: export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/.cache/jax
test check test-extras: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS := 0
test check test-extras: export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES := -1
# Compiling takes and gives back much memory; to ask the system for it anew each time takes a twentieth of the time.
test check test-extras: export MALLOC_TOP_PAD_ := 67108864
test check test-extras: export MALLOC_TRIM_THRESHOLD_ := 1000000000
test check test-extras: export MALLOC_MMAP_THRESHOLD_ := 100000000
# Where Python is told to keep no bytecode, every process that tests start would compile the package's source again.
test check test-extras: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.installed-test room-for-programs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2
	$(BIN)/pytest

check: $(VENV)/.installed-test room-for-programs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2
	$(BIN)/pytest -m "not slow"

# What needs packages that a plain installation leaves out.
test-extras: $(VENV)/.installed-extras
	$(BIN)/pytest --numprocesses=0 tests/sweeping/test_clusters.py
	$(BIN)/pytest --numprocesses=0 tests/torch

room-for-programs:
	@du -sm .cache/jax 2>/dev/null | awk '$$1 > 2000 { exit 1 }' || rm -rf .cache/jax

# The theme announces its successor at every build.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# BENCHMARK=name runs benchmarks/name.py.
BENCHMARK ?= sweep_throughput
bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/$(BENCHMARK).py

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "nucleate needs Python 3.11 or newer; say which with: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "Python could not make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 2; }

$(VENV)/.installed: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --editable '.[docs]'
	@touch $@

$(VENV)/.installed-extras: $(VENV)/.installed-test
	$(PIP) --editable '.[dask,ray,torch-test]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) .cache build dist site
