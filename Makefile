# `make help` lists the commands. A fresh machine needs Python 3.11 or newer and make, nothing else.
.DEFAULT_GOAL := help
SHELL := /bin/sh

# The first Python that is new enough; `make PYTHON=/path/to/python3 ...` says otherwise.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
# Without uv on the PATH, pip brings it into an environment of its own: `uv sync` would remove it from .venv.
UV := $(or $(shell uv --version >/dev/null 2>&1 && command -v uv),.tools/bin/uv)

# uv uses the Python that is here.
export UV_PYTHON_DOWNLOADS := never
export PYTHONUNBUFFERED := 1

.PHONY: help demo test e2e soak lint format client page wheel install clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: page ## run the whole platform here, and a validation on it to its verdict
	@$(BIN)/vru local demo

test: page ## all tests that need no Docker engine, and the end-to-end tests where an engine answers
	@$(BIN)/python tests/run.py test

e2e: page ## the end-to-end tests: deploy to a bare server, in a container
	@VRU_E2E=1 $(BIN)/python tests/run.py e2e

soak: page ## the long tests: many updates under load, Docker and the power cut off in the middle, many simulated campaigns
	@VRU_E2E=1 $(BIN)/python tests/run.py soak

lint: page ## ruff, mypy, import-linter, biome, tsc
	@$(BIN)/python tests/run.py lint

format: page ## format the code
	@$(BIN)/python tests/run.py format

client: install ## make the page's client and metrics from what the services say
	@$(BIN)/python tests/run.py client

page: install ## build the page
	@$(BIN)/python -m vru.frontend.build

wheel: page ## build the distribution, the page in it, into dist/
	@$(UV) build --quiet && ls dist/*.whl

install: .venv/.synced ## make the environment in .venv

clean: ## remove what was built here; the local platform's data in .vru stay
	rm -rf .venv .tools dist src/vru/frontend/static src/vru/frontend/web/node_modules .pytest_cache .mypy_cache .ruff_cache

.venv/.synced: pyproject.toml uv.lock | $(UV)
	@echo "installing into .venv (the first time takes a minute or two)"
	@$(UV) sync --frozen --all-extras --python "$(PYTHON)" $(shell test -t 2 || echo --quiet)
	@touch $@

.tools/bin/uv:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer on the PATH." >&2; \
		echo "  Install one (Debian: apt-get install python3 python3-venv), or say make PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) cannot make environments: ensurepip is missing." >&2; \
		echo "  Install it (Debian, Ubuntu: apt-get install python3-venv), or install uv (https://docs.astral.sh/uv)." >&2; exit 1; }
	@echo "installing uv into .tools"
	@$(PYTHON) -m venv .tools && .tools/bin/pip install --quiet --disable-pip-version-check 'uv>=0.5'
