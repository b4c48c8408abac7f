# Every target sets up what it needs first; a second run finds it there.
SHELL := /usr/bin/env bash
PLAIN_PATH := $(PATH)
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := 1

# More than cores: tests on the local AWS wait for most of their time.
WORKERS ?= 4
ARGS ?=

.PHONY: help setup demo test acceptance lint bench docs lock clean

help: ## Say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

# set-up looks for uv before .venv comes into the PATH
setup: export PATH := $(PLAIN_PATH)
setup: ## Create .venv, install the locked packages, Node where none fits, the CDK CLI
	@scripts/setup dev

demo: setup ## Deploy the example to the local AWS, drive it, break it, prove that nothing was lost
	@resilient demo $(ARGS)

test: setup ## Run every test
	@python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

acceptance: setup ## Run the longest runs in full: 20,000 records, 10,000 messages, 500 executions, 400 pages …
	@RESILIENT_FULL_RUNS=1 python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS) \
	  tests/kinesis_bisect_consumer tests/breaker_workflow tests/flow_controlled_consumer tests/examples \
	  tests/rie -m "local or rie or conformance"

lint: setup ## ruff and mypy --strict
	@ruff check .
	@ruff format --check .
	@mypy

bench: ## Measure ours beside the peers: make bench ARGS="synth --json"
	@scripts/setup bench
	@python -m benchmarks $(ARGS)

docs: ## Build the documentation into site/
	@scripts/setup docs
	@mkdocs build --strict

lock: setup ## Resolve the lock files again from pyproject.toml
	@scripts/lock

clean: ## Remove what the targets made, but not the caches in your home directory
	@rm -rf .venv node_modules cdk.out site dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
