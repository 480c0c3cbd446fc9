# `make chat` on a fresh machine needs Python >= 3.11, pip and make. Everything made here lies in .venv, build and dist, but for
# the model's weights, which lie where `agentctl paths` says.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The installed environment depends on nothing else: the packages themselves are used from the work tree.
INPUTS := pyproject.toml constraints.txt shared/agentwire/__init__.py

# Two of us at once: one sets up, the other waits for it.
LOCKED := flock Makefile

# Without compiled files every start compiles again: 6 s for the OpenAI library instead of 1.
unexport PYTHONDONTWRITEBYTECODE
# Also holds for what pip installs to build with (older releases of pip read the first, newer ones the second).
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Empty it where time counts: without coverage the tests take two thirds.
COVERAGE ?= --cov --cov-report=term

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help chat test check test-slow bench binary format clean install

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

# --- run ------------------------------------------------------------------------------------------------------------------------

# All set-up talks on stderr and reads nothing: stdin and stdout are the conversation's.
chat: $(VENV)/run.stamp ## set everything up and talk to the model; with a pipe on stdin: answer it and exit
	@$(BIN)/agentctl model pull </dev/null >&2
	@exec $(BIN)/agentctl chat

install: $(VENV)/run.stamp ## only make .venv with agentd and agentctl in it

# --- check ----------------------------------------------------------------------------------------------------------------------

test: $(VENV)/dev.stamp ## the fast tests
	@$(BIN)/agentctl model pull </dev/null >&2
	$(BIN)/python -m pytest -m "not slow" -n 2

check: $(VENV)/dev.stamp ## format, lint, types, layers, tests with coverage, the built wheel
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/agentctl model pull </dev/null >&2
	$(BIN)/python -m pytest -m "not slow" -n 2 $(COVERAGE)

test-slow: $(VENV)/dev.stamp ## the long suites: crashes, faults, the single binary
	@$(BIN)/agentctl model pull </dev/null >&2
	$(BIN)/python -m pytest -m slow -n 2 --timeout 900

bench: $(VENV)/dev.stamp ## every figure a ratio to a floor of the same run
	$(BIN)/python -m compileall -q $(VENV)/lib agentd agentctl shared
	$(BIN)/python -m benchmarks

format: $(VENV)/dev.stamp ## format and mend what can be mended mechanically
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# --- build ----------------------------------------------------------------------------------------------------------------------

binary: $(VENV)/dev.stamp ## dist/agentctl: one folder that needs no Python
	$(BIN)/pyinstaller --noconfirm --log-level WARN pyinstaller.spec
	@echo "made dist/agentctl/agentctl" >&2

clean: ## remove what was made here, but not the weights and conversations
	rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find agentd agentctl shared tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment ------------------------------------------------------------------------------------------------------------

$(BIN)/pip:
	@$(LOCKED) scripts/make-venv "$(PYTHON)" $(VENV) >&2

$(VENV)/run.stamp: $(INPUTS) | $(BIN)/pip
	@echo "installing agentd into $(VENV) (once, about a minute) ..." >&2
	@$(LOCKED) $(BIN)/pip install -q -c constraints.txt -e . </dev/null >&2
	@touch $@

$(VENV)/dev.stamp: $(INPUTS) | $(BIN)/pip
	@echo "installing agentd and its development tools into $(VENV) (once, about a minute) ..." >&2
	@$(LOCKED) $(BIN)/pip install -q -c constraints.txt -e '.[dev]' </dev/null >&2
	@touch $@ $(VENV)/run.stamp
