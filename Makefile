# Everything a contributor runs. Needs make and a Python >= 3.11 with venv; the rest is installed into $(VENV).
PYTHON ?= python3
VENV ?= .venv
IMAGE ?= model-health-agent
PYTEST_ARGS ?=
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' agent/__init__.py)

BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
BENCH := .cache/bench/.installed
PIP := -m pip install -qq --disable-pip-version-check

.PHONY: help demo test test-unit chaos lint format check bench faults deploy restarts image clean
.DEFAULT_GOAL := help

help: ## what there is to run
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## a small model server and the agent beside it, on http://127.0.0.1:9809/ (Ctrl-C ends both)
	@$(BIN)/health-agent demo

test: $(DEV) ## the whole test suite; what needs Docker, a cluster, promtool or wrk is skipped, and says so, where they are missing
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-unit: $(DEV) ## the tests that need no model server, no container engine and no cluster
	$(BIN)/python -m pytest -m "not acceptance and not docker and not kube" $(PYTEST_ARGS)

chaos: $(DEV) ## thousands of random lives of an agent in virtual time (10 minutes); CHAOS_LIVES=N for more
	CHAOS_LIVES=$(or $(CHAOS_LIVES),5000) $(BIN)/python -m pytest tests/engine/test_chaos.py --timeout=0 $(PYTEST_ARGS)

lint: $(DEV) ## formatting, lint and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(DEV) ## format the code and mend what ruff can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

check: lint test ## lint, then test: what a change has to pass

bench: $(BENCH) ## what the agent costs, measured against plain programs; writes docs/performance.md (6 minutes)
	@.cache/bench/bin/python -m bench

faults: $(DEV) ## what is done to real model servers, and who finds it; writes docs/faults.md (14 minutes, pip)
	@$(BIN)/python -m tests.faults

restarts: $(DEV) ## a hundred restarts of a container: no descriptor and no memory may stay behind (5 minutes, Docker)
	RESTARTS=100 $(BIN)/python -m pytest tests/acceptance/test_docker_engine.py -k many_restarts --timeout=0 $(PYTEST_ARGS)

deploy: $(RUNTIME) ## write again what deploy/ holds of `health-agent render`, from deploy/sources
	@sed '/^#/d' deploy/rendered.txt | while IFS=: read -r file words; do \
	  cd $(CURDIR)/deploy && mkdir -p "$$(dirname "$$file")" && \
	  ../$(BIN)/health-agent render $$words > "$$file.new" && mv "$$file.new" "$$file" || exit 1; \
	done
	@{ cat deploy/sources/rules-head.yaml; sed '/^#/d; s/^/  /' deploy/prometheus/alerts.yaml; } \
	  > deploy/kubernetes/components/monitoring/rules.yaml
	@cp deploy/prometheus/alerts.yaml deploy/helm/model-health-agent/files/alerts.yaml

image: ## the container image, as $(IMAGE), and tagged with the version, as deploy/ names it
	docker build -t $(IMAGE) -t $(IMAGE):$(VERSION) .

clean: ## remove what the targets above made
	rm -rf $(VENV) .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Two stamps, so that the demo waits for the four packages the agent runs on and not for the linters.
$(RUNTIME): pyproject.toml
	$(call make-venv,$(VENV))
	@$(VENV)/bin/python $(PIP) -e .
	@touch $@

$(DEV): pyproject.toml
	$(call make-venv,$(VENV))
	@$(VENV)/bin/python $(PIP) -e '.[dev]'
	@touch $@ $(RUNTIME)

# The benchmark measures an ordinary installation: an editable one starts slower.
$(BENCH): pyproject.toml $(shell find agent -name '*.py' -o -name '*.yaml' 2>/dev/null)
	$(call make-venv,.cache/bench)
	@rm -rf build
	@.cache/bench/bin/python $(PIP) .
	@.cache/bench/bin/python $(PIP) --force-reinstall --no-deps .
	@touch $@

define make-venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is missing or older than Python 3.11: name another one, e.g. make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "installing into $(1) with $$($(PYTHON) --version) (half a minute the first time) ..." >&2
	@$(PYTHON) -m venv $(1) || \
	  { rm -rf $(1); echo "$(PYTHON) has no venv: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
endef
