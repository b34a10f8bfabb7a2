# Every target installs what it needs; `make help` explains them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
# Compiled bytecode saves seconds in every Airflow process; an environment that forbids it would recompile each time.
export PYTHONDONTWRITEBYTECODE =
export AIRFLOW_HOME ?= $(CURDIR)/.local/check
.DEFAULT_GOAL := help
# Most tests run side by side, waiting more than they work; so what they share is brought up beforehand. The rest shares
# one shop in production.
STACK_PARTS := engine registry base-image kubernetes dns kwok buildkit prometheus adapter helm emulator
STACK_OWNER := /run/airflow-provider-tke.json

.PHONY: help
help: ## Explain every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-15s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.locked ## Install the development environment into .venv, exactly as locked

$(VENV)/.locked: requirements-dev.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or later is needed: install the Debian package python3, or name one by PYTHON=…"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) \
		|| { test "$$(id -u)" = 0 && apt-get update -q && apt-get install -y -q python3-venv && $(PYTHON) -m venv $(VENV); } \
		|| { echo "Python has no venv: install the Debian package python3-venv"; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@echo "Installing the development environment into $(VENV): about a minute"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements-dev.lock
	@touch $@

.PHONY: lock
lock: setup ## Resolve the development environment anew into requirements-dev.lock
	$(BIN)/uv pip compile --quiet --upgrade --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
		--python-version 3.11 -o requirements-dev.lock requirements-dev.in

.PHONY: check
check: setup ## Format, lint, types, import floors and the fast tests: no server, under 2 minutes
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg --no-cache
	$(BIN)/pytest -q -n auto -m "not stack and not e2e and not installation and not soak"

.PHONY: format
format: setup ## Put the code into its format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: test
test: check ## Everything, on the real stack, which is brought up for it (the first time compiles Kubernetes)
	@set -e; test -e $(STACK_OWNER) || trap '$(BIN)/python -m local down' EXIT; \
	$(BIN)/python -m local up --database postgres $(STACK_PARTS) gitea airflow; \
	status=0; \
	$(BIN)/pytest -v -n 4 --dist loadfile --no-loadscope-reorder --durations 15 \
		-m "(stack or aside or installation) and not soak" || status=$$?; \
	$(BIN)/pytest -v --durations 15 -m "e2e and not aside" || status=$$?; \
	exit $$status

.PHONY: soak
soak: setup ## What make test leaves out: KEDA, an ingress controller (compiled once in 12 minutes), more deaths
	@set -e; if test -e $(STACK_OWNER); then ours="keda ingress"; fi; trap '$(BIN)/python -m local down $$ours' EXIT; \
	$(BIN)/python -m local up $(STACK_PARTS) keda ingress; \
	$(BIN)/pytest -v -m soak

.PHONY: up
up: setup ## Bring the local stack up: engine, registry, Kubernetes, emulator, Airflow
	$(BIN)/python -m local up

.PHONY: down
down: ## Take the local stack down; nothing is left behind
	@test -x $(BIN)/python || $(MAKE) setup  # after make clean
	$(BIN)/python -m local down

.PHONY: demo
demo: setup ## One git push, from there to production on a real Kubernetes, and a scheduled resize
	$(BIN)/python -m local.demo

.PHONY: demo-failures
demo-failures: setup ## What happens to a commit whose tests fail, and to one whose pod crashes
	$(BIN)/python -m local.demo failures

.PHONY: demo-elastic
demo-elastic: setup ## A load comes and goes: pods follow it, nodes follow the pods, and a chart shows it
	$(BIN)/python -m local.elastic

.PHONY: demo-down
demo-down: down ## Take down what the demo left up

.PHONY: wheel
wheel: setup ## Build the wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

.PHONY: clean
clean: ## Remove what is generated, and the development environment
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
