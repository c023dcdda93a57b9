# From a bare checkout: `make run`, `make test`. Needs Python 3.11 or newer with its venv module, and nothing else.

VENV := .venv
BIN := $(VENV)/bin
PINS := pyproject.toml constraints.txt
PORT ?= 8000
WORKERS ?= 2

# The first of these that runs, is new enough and can make environments.
PYTHON ?= python3.13 python3.12 python3.11 python3.14 python3 python
PYTHON_FITS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

# The names in pyproject.toml, one a line: [project] dependencies, or those and the dev ones.
RUNTIME_NAMES := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")
DEV_NAMES := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["dev"], sep="\n")

# Tank starts many processes, and tests hundreds: what Python has compiled once it need not compile again.
unexport PYTHONDONTWRITEBYTECODE

NEW_SECRET := import secrets; print(secrets.token_urlsafe(50))

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --prefer-binary -c constraints.txt

.PHONY: help setup run test lint format bench fuzz screenshots pins clean
.DEFAULT_GOAL := help

help:
	@echo 'make run          start Tank on http://127.0.0.1:8000 (PORT=... for another port)'
	@echo 'make test         run the whole test suite'
	@echo 'make setup        make the environment alone: .venv/bin/python manage.py ... then works'
	@echo 'make lint         check style, types, floors, migrations and production settings'
	@echo 'make format       put the code into the agreed form'
	@echo 'make bench        measure everything, in three quarters of an hour (BENCH="gateway --rounds 3" for a part)'
	@echo 'make fuzz         fuzz the readers of streams and of requests, where atheris is installed'
	@echo 'make screenshots  take a picture of every page into var/screenshots/'
	@echo 'make pins         compile constraints.txt anew'

# An environment whose Python has gone is no environment.
$(if $(wildcard $(BIN)/.usable),$(shell $(BIN)/python -c '' 2>/dev/null || rm -f $(BIN)/.usable))

# --- The environment ----------------------------------------------------------------------------
# Two steps: running needs only the first, which is much smaller.
$(BIN)/.usable:
	@if $(BIN)/python -c '$(PYTHON_FITS)' 2>/dev/null; then touch $@; exit 0; fi; \
	for python in $(PYTHON); do \
	    if $$python -c '$(PYTHON_FITS)' 2>/dev/null; then \
	        echo "Making $(VENV) with $$($$python --version)"; \
	        if $$python -m venv --clear $(VENV); then touch $@; exit 0; else exit 1; fi; \
	    fi; \
	done; \
	echo 'Tank needs Python 3.11 or newer with its venv module, and found none (looked for: $(PYTHON)).' >&2; exit 1

$(BIN)/.runtime: $(BIN)/.usable $(PINS)
	@echo 'Installing what Tank runs on'
	@$(BIN)/python -c '$(RUNTIME_NAMES)' > $(VENV)/runtime.txt
	@$(INSTALL) -r $(VENV)/runtime.txt
	@touch $@

$(BIN)/.dev: $(BIN)/.runtime
	@echo 'Installing what tests and checks need'
	@$(BIN)/python -c '$(DEV_NAMES)' > $(VENV)/dev.txt
	@$(INSTALL) -r $(VENV)/dev.txt
	@touch $@

setup: $(BIN)/.dev

# --- Work ---------------------------------------------------------------------------------------
run: $(BIN)/.runtime
	@$(BIN)/python manage.py up --port $(PORT)

test: setup
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	TANK_DATA=var/test $(BIN)/python manage.py makemigrations --check --dry-run
	TANK_DATA=var/test TANK_URL=https://tank.example SECRET_KEY="$$($(BIN)/python -c '$(NEW_SECRET)')" \
	    $(BIN)/python manage.py check --deploy --fail-level WARNING

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	@$(BIN)/python -m tests.bench $(BENCH)

fuzz: setup
	@for target in stream body; do $(BIN)/python -m tests.fuzz $$target -max_total_time=60 || exit 1; done

screenshots: setup
	@$(BIN)/python -m tests.screenshots

pins: setup
	$(BIN)/pip-compile --quiet --strip-extras --extra dev --no-annotate --no-header --no-emit-index-url \
	    --no-emit-trusted-host --no-emit-find-links --output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache static_root
