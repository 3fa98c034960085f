# Everything that a developer or a newcomer runs. Each target installs what it needs and is quick when nothing is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
PYTHON ?= python3
BIN := .venv/bin
# Tests of one file stay together; the files are shared out among so many processes, each with chains of its own.
WORKERS ?= 2
INSTALLED := .venv/.installed
# The tests of money, which run on Debian 12's Monero 0.18.0.0 too. Of the crash matrix a sample: MATRIX=99 for all of it.
MATRIX ?= 6
OF_MONEY := $(addprefix tests/regtest/,payouts escrows wallets monero chain keying) tests/faults/test_adoption.py tests/faults/matrix \
  $(wildcard tests/faults/test_ways_out_*.py)

.PHONY: help setup old-engine postgresql demo test test-faults test-old-engine check unit bench docs lock clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(INSTALLED) ## put everything into .venv, and the pinned Monero into a directory of its own
	@scripts/install-monero >/dev/null

postgresql: ## the programs of PostgreSQL, with which the tests of the store run servers of their own
	@scripts/install-postgresql

old-engine: ## put Monero 0.18.0.0 beside the pinned one: some tests exchange one for the other
	@scripts/install-monero --old >/dev/null

demo: setup ## four whole escrows, on a private regtest chain
	@$(BIN)/escrowd demo

test: check postgresql old-engine ## lint, types, imports, and the tests on the real engine
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --ignore=tests/faults

test-faults: setup old-engine ## kill, freeze and starve the service and its wallets, at every named place of a payout too: slow
	$(BIN)/python -m pytest -n $(WORKERS) tests/faults

test-old-engine: setup ## the tests of money on Monero 0.18.0.0, which has known faults that must not cost money
	directory=$$(scripts/install-monero --old); \
	  ESCROWD_MONERO_DIR=$$directory \
	  $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --durations 15 --matrix-sample $(MATRIX) $(OF_MONEY)

check: setup ## lint, strict types, import contracts and the shape of the tree
	@scripts/check

unit: $(INSTALLED) ## the tests of pure code, in seconds
	$(BIN)/python -m pytest tests/unit tests/test_architecture.py

bench: setup ## sessions and whole escrows beside the raw wallet RPC, the API beside a bare route
	$(BIN)/escrowd bench sessions
	$(BIN)/escrowd bench escrow
	$(BIN)/escrowd bench api

docs: $(INSTALLED) ## write the pages that are made from code
	@scripts/make-docs

lock: $(INSTALLED) ## resolve the dependencies again, none younger than a week
	scripts/lock

clean: ## remove what was built here; the Monero programs and the cached chain stay
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(INSTALLED): requirements/dev.lock pyproject.toml
	@PYTHON=$(PYTHON) scripts/install-python-packages
	@touch $@
