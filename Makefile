# `make help` lists the targets. Everything Python happens in .venv; everything measured happens in containers.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help .venv run test test-newer-engine unit check format lock schemas harness examples hosts-demo history faults engine images buildx compose packages clean

PYTHON ?= python3
# Debian packages that the tests and checks use; empty where their equivalents are there already
PACKAGES ?= postgresql redis-server mariadb-server-core mariadb-client wrk shellcheck chromium openssh-server iproute2 iptables python3-pip $(if $(shell command -v npm),,nodejs npm)
# passed on: make run ARGS="--preset article", make test ARGS="-k engine", make lock ARGS=--upgrade
ARGS ?=

# twice: errors only
pip := .venv/bin/python -m pip --quiet --quiet --disable-pip-version-check
# byte code is kept: every worker and every command that a test runs would compile the same files again
pytest := env --unset=PYTHONDONTWRITEBYTECODE PYTHONPATH=tests/plugins .venv/bin/python -m pytest
lock = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header $(ARGS)
scripts := .ci/run $(wildcard *.sh) $(wildcard scripts/*.sh) $(wildcard tests/images/*.sh) \
	$(wildcard tests/images/php-*) $(wildcard tests/github/*.sh) $(wildcard examples/*/*.sh)
typed := $(wildcard src tests apps benchmarks scripts)
# tests that run at the same time, as they wait more than they compute; those marked `alone` come after them, none of which
# is a unit test
WORKERS ?= 4
levels := tests/e2e tests/docker tests/integration tests/unit
# ARGS may choose tests of one kind only: that the other has none is no failure then, unless none has any
or_none := $(if $(ARGS),|| [ $$? = 5 ])
strict := -p no_skips --timeout 900
side_by_side := --no-print-directory --jobs 2 --output-sync=line

help: ## list the targets
	@grep -hE '^[a-z.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z.-]+):.*## /\1\t/' | expand -t 19

.venv: .venv/.project ## make the environment, with .venv/bin/bench-action

# What runs the tool, for `make run`; checks and tests come on top, as installing them takes as long again.
.venv/.requirements: requirements/local.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; '$(PYTHON)' is not. Set PYTHON=." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || scripts/packages.sh python3-venv
	$(PYTHON) -m venv --clear .venv
	$(pip) install --no-compile --require-hashes --requirement $<  # most of it is never imported
	@touch $@

# Without dependencies and build isolation, everything that is installed has been checked against a hash.
.venv/.project: .venv/.requirements pyproject.toml
	$(pip) install --no-deps --no-build-isolation --editable .
	@env --unset=PYTHONDONTWRITEBYTECODE .venv/bin/bench-action --version >/dev/null  # compiles what every start imports
	@touch $@

.venv/.dev: .venv/.project requirements/dev.txt
	$(pip) install --no-compile --require-hashes --requirement requirements/dev.txt
	@touch $@

# Docker where it answers; else the local engine, which needs no more than wrk
run: .venv ## measure the built-in applications on this machine (ARGS=…); output in bench-results/
	@if docker info >/dev/null 2>&1; then tests/images/build.sh; \
	elif ! command -v wrk >/dev/null; then scripts/packages.sh wrk; fi
	.venv/bin/bench-action run $(ARGS)

# What waits for the network goes next to what computes: packages and the environment, then images and the checks. The slow
# levels come first, so that at the end unit tests fill what waits leave.
test: ## set this machine up, check, then run every test of every level
	$(MAKE) $(side_by_side) packages .venv/.dev
	$(MAKE) $(side_by_side) buildx compose images check
	$(if $(ARGS),$(pytest) --collect-only --quiet --quiet $(levels) $(ARGS))
	$(pytest) $(strict) -m 'not alone' --durations 25 --durations-min 5 --numprocesses $(WORKERS) --dist loadscope \
	  $(levels) $(ARGS) $(or_none)
	$(pytest) $(strict) -m alone --durations 10 --durations-min 5 $(filter-out tests/unit,$(levels)) $(ARGS) $(or_none)

# A second engine in separate namespaces, as root; its Debian tree stays in the cache. Not part of `make test`.
test-newer-engine: engine images .venv/.dev ## run the tests of the engine against Docker 28 as well
	scripts/test-newer-engine.sh $(ARGS)

unit: .venv/.dev ## run the unit tests only
	$(pytest) --numprocesses 2 tests/unit $(ARGS)

check: .venv/.dev ## style, types, layers, plain English and shell scripts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict $(typed)
	.venv/bin/lint-imports
	scripts/check-words.sh
	scripts/format-assets.sh --check
	shellcheck $(scripts)
	scripts/lint-workflows.sh

format: .venv/.dev ## put the code into the one format, and fix what can be fixed
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .
	scripts/format-assets.sh --write

lock: .venv/.dev ## resolve the requirements again, keeping the pins (ARGS=--upgrade drops them)
	$(lock) --extra local pyproject.toml requirements/dev.in --output-file requirements/dev.txt
	$(lock) pyproject.toml --constraint requirements/dev.txt --output-file requirements/runtime.txt
	$(lock) --extra local pyproject.toml requirements/editable.in --constraint requirements/dev.txt \
	  --output-file requirements/local.txt
	for input in requirements/build.in apps/*/requirements*.in; do \
	  $(lock) $$input --constraint requirements/dev.txt --output-file $${input%.in}.txt; \
	done

schemas: .venv ## write the published JSON Schemas from the models
	.venv/bin/bench-action schema >docs/bench.schema.json
	.venv/bin/bench-action schema --result >docs/result.schema.json

harness: engine images .venv ## measure what the harness itself costs (a few minutes, on a quiet machine)
	.venv/bin/python benchmarks/harness.py

examples: engine .venv ## measure every example, with and without its slowdown (ARGS=NAME…; an hour at most)
	.venv/bin/python scripts/examples.py $(ARGS)

hosts-demo: engine images packages .venv ## measure the built-in applications over three machines on this one (as root)
	@scripts/packages.sh openssh-server iproute2 iptables
	.venv/bin/python -m tests.hosts.demo $(ARGS)

history: .venv ## measure how a history grows: append, read, page (minutes)
	.venv/bin/python benchmarks/history.py
	.venv/bin/python benchmarks/trend_page.py

# As root: it mounts the disks that it fills, and makes control groups.
faults: engine images buildx compose packages .venv/.dev ## inject every fault and fuzz every input, and print one table (more than an hour)
	@scripts/packages.sh gcc libc6-dev
	env --unset=PYTHONDONTWRITEBYTECODE .venv/bin/python -m tests.faults $(ARGS)

engine: ## make sure that a Docker engine runs; as root, install and start one
	@scripts/engine.sh

images: engine ## have the base images: local, from the registry, or stand-ins where there is no registry
	@tests/images/build.sh
	@tests/images/build.sh node  # for the tests of examples

buildx: engine
	@scripts/buildx.sh >/dev/null
	@scripts/registry.sh >/dev/null

compose:
	@scripts/compose.sh >/dev/null
	@scripts/compose.sh classic >/dev/null

packages:
	@scripts/packages.sh $(PACKAGES)

clean: ## remove the environment, the caches and the stand-in images; results stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	-tests/images/build.sh remove
	-scripts/newer-engine.sh remove
