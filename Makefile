# make run     set up, then start Parley               make fix     format, and repair what the linter can
# make test    set up, then run every test             make docs    write the generated tables anew
# make check   what must hold before a change lands    make bench   measure, beside the floors
#
# Choose an interpreter with PYTHON=python3.12, and pass options on with ARGS="--port 9000".

PYTHON ?= $(shell scripts/find-python)
BIN := .venv/bin
LOCKS := requirements/speech.txt pyproject.toml scripts/setup.py

.DEFAULT_GOAL := help
.PHONY: help run test check lint cover fix docs bench ledger-kill ledger-model clean

help:
	@sed -n 's/^# //p' Makefile | head -n 5

run: .venv/.run
	@$(BIN)/parley serve $(ARGS)

test: .venv/.dev .venv-beta/.beta
	@$(BIN)/python -m pytest -q $(ARGS)

check: lint test

lint: .venv/.dev
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python scripts/make_docs.py --check
	@$(BIN)/python scripts/make_management_json.py --check

cover: .venv/.dev
	@$(BIN)/coverage run -m pytest -q tests/core
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --include 'parley/core/*'

fix: .venv/.dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: .venv/.dev
	@$(BIN)/python scripts/make_docs.py
	@$(BIN)/python scripts/make_management_json.py

bench: .venv/.dev
	@$(BIN)/python bench/run.py $(ARGS)

# The ledger, longer than CI has time for: a thousand kills, a million random orders, on each database.
ledger-kill: .venv/.dev
	@LEDGER_KILLS=$(or $(KILLS),1000) $(BIN)/python -m pytest -q -s tests/billing/test_kill.py tests/billing/test_kill_postgres.py --timeout 0

ledger-model: .venv/.dev
	@LEDGER_STEPS=$(or $(STEPS),1000000) $(BIN)/python -m pytest -q tests/billing/test_history.py --timeout 0

clean:
	@rm -rf .venv .venv-beta .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist

.venv/.run: requirements/run.txt $(LOCKS)
	@$(if $(PYTHON),$(PYTHON) scripts/setup.py run,exit 1)

.venv/.dev: requirements/dev.txt $(LOCKS)
	@$(if $(PYTHON),$(PYTHON) scripts/setup.py dev,exit 1)

.venv-beta/.beta: requirements/beta.txt scripts/setup.py
	@$(if $(PYTHON),$(PYTHON) scripts/setup.py beta,exit 1)
