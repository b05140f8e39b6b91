# Everything that people do with this repository. `make help` lists it.
#
# A clean clone needs git, make, Python 3.11 to 3.13 with its headers, a C++ compiler and the package registries;
# every target below does its own set-up in .venv and skips what is done already.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Set-up happens in the order in which it is written.
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
UV := $(BIN)/python -m uv
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Compiled at once: worker processes may not write, and would compile the model libraries at every start.
EXACTLY := --quiet --python $(BIN)/python --require-hashes --compile-bytecode
# A package that was not there at the last build is found only after the next one.
NATIVE := CMakeLists.txt pyproject.toml $(wildcard src/tsavo/kernels/*.cpp src/tsavo/kernels/*.hpp) \
	$(shell find src/tsavo -name __init__.py)

ARGS ?=
TORCH := 2.13.0
# Processes that pytest uses.
TEST_WORKERS ?= 2

BENCH ?= serving large_requests density families registration bulk registry lake python_worker hostile

.PHONY: help setup demo test serve bench matrix kills tampering docs lint types contracts tests format requirements wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMPS)/check $(STAMPS)/torch $(STAMPS)/built  ## make .venv with everything that development needs

demo: $(STAMPS)/demo $(STAMPS)/built  ## the whole story on real data; ARGS=--once ends it afterwards
	$(BIN)/tsavo demo $(ARGS)

serve: $(STAMPS)/demo $(STAMPS)/built  ## start Tsavo on its default home; ARGS="--home DIR --port N" and so on
	$(BIN)/tsavo up $(ARGS)

test: setup  ## every check there is: style, types, floors, documentation, tests
	@$(BIN)/python tools/check.py --workers $(TEST_WORKERS) $(ARGS)

tests: setup  ## the tests alone; ARGS="tests/journal -k name" narrows them
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal $(ARGS)

lint: setup  ## style: ruff, as linter and as formatter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup  ## put the code into shape
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

types: setup  ## mypy, strict, over source and tests
	$(BIN)/mypy

contracts: setup  ## the floors: which room may import which
	$(BIN)/lint-imports

docs: setup  ## build the documentation into site/
	$(BIN)/mkdocs build --strict $(ARGS)

bench: setup  ## ours beside its peers, in the same run; BENCH=serving ARGS="--seconds 4" for one of them
	@for name in $(BENCH); do echo "# $$name"; $(BIN)/python benchmarks/$$name.py $(ARGS) || exit 1; done

kills: setup  ## kill gateway and keeper under load on failing disks, and compare ids; ARGS="--kills 50"
	@$(BIN)/python -m benchmarks.kills $(ARGS)

tampering: setup  ## change lake, log and registry at random, and count what the independent verifier finds; ARGS="--changes 500"
	@$(BIN)/python -m benchmarks.tampering $(ARGS)

matrix: setup  ## every model kind through a running Tsavo, as a table; writes docs/matrix.md; ARGS="--only XGBoost" narrows it
	@$(BIN)/python tools/matrix.py $(ARGS)

wheel: setup  ## build the wheel into dist/
	$(UV) build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist .

requirements: $(STAMPS)/venv  ## resolve pyproject.toml anew into requirements/*.txt; ARGS=--upgrade for newer versions
	sh tools/requirements.sh $(BIN)/python $(ARGS)

clean:  ## remove everything that was made here, .venv too
	rm -rf $(VENV) build dist site .bench .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	rm -f src/tsavo/kernels/*.so
	find src tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- How the environment is made. Each stamp is newer than what it was made from, or it is made again.

$(STAMPS)/venv: requirements/uv.txt tools/find_python.sh
	@python=$$(sh tools/find_python.sh $(PYTHON)) && echo "making $(VENV) with $$python" && \
		"$$python" -m venv --clear $(VENV)
	@$(PIP) install --require-hashes -r requirements/uv.txt
	@mkdir -p $(STAMPS) && touch $@

# uv knows its own settings only; where a mirror is set up for pip, pip does the same work, slower.
# What the demo needs is a part of what development needs, and is not installed over it.
$(STAMPS)/demo: $(STAMPS)/venv requirements/demo.txt requirements/build.txt
	@test -e $(STAMPS)/check || { echo "installing requirements/demo.txt" && { \
		$(UV) pip install $(EXACTLY) -r requirements/demo.txt -r requirements/build.txt \
		|| $(PIP) install --require-hashes -r requirements/demo.txt -r requirements/build.txt; }; }
	@touch $@

$(STAMPS)/check: $(STAMPS)/venv requirements/check.txt
	@echo "installing requirements/check.txt"
	@$(UV) pip sync $(EXACTLY) requirements/check.txt || $(PIP) install --require-hashes -r requirements/check.txt
	@rm -f $(STAMPS)/built
	@touch $@ $(STAMPS)/demo

# PyTorch where a build for processors alone is to be had; else its tests say that they are skipped.
$(STAMPS)/torch: $(STAMPS)/check
	@$(PIP) install --no-deps 'torch==$(TORCH)+cpu' 2>/dev/null \
		|| echo "no torch $(TORCH)+cpu for this Python to be had; its tests are skipped"
	@touch $@

# Always made after one of the two above.
$(STAMPS)/built: $(NATIVE)
	@echo "building tsavo.kernels"
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
