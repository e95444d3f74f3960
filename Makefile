# Every target sets up what it needs: Python 3.11+ and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STUBS := client/sameas/v1

.DEFAULT_GOAL := help
.PHONY: help run test pythons check lint type format proto proto-check proto-release bench bench-scale demo campaign faults kills linear power lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(READY) ## serve on 127.0.0.1:50051, data in ./data
	$(BIN)/sameas serve

test: $(READY) ## the whole suite
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

pythons: ## the suite on every Python from 3.11 on: make pythons PYTHONS=newest
	$(PYTHON) tests/support/pythons.py $(PYTHONS)

check: lint type proto-check test ## what CI runs, before the suite on another Python

lint: $(READY) ## ruff, its formatting, and the import layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

type: $(READY) ## mypy, strict
	$(BIN)/mypy

format: $(READY) ## put code and protos into their one form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/buf format -w protos

proto: $(READY) ## regenerate the stubs after a change in protos/
	$(BIN)/python tests/support/stubs.py $(STUBS)

proto-check: $(READY) ## protos: lint, format, breaking changes, and whether stubs are fresh
	$(BIN)/buf lint protos
	$(BIN)/buf format --diff --exit-code protos
	$(BIN)/python tests/support/stubs.py --check $(STUBS)
	$(BIN)/buf breaking protos --against protos/released.binpb

proto-release: $(READY) ## make the present protos what later ones must not break
	$(BIN)/buf build protos --output protos/released.binpb

bench: $(READY) ## measure; prints a table and writes bench.json
	$(BIN)/python -m tests.bench

bench-scale: $(READY) ## measure at 10,000,000 messages (long; 20 GB of disk), and draw the README's chart
	$(BIN)/python -m tests.bench scale growth
	$(BIN)/python -m tests.bench.plot

demo: $(READY) ## a server on a throw-away directory, the README's example through it
	$(BIN)/python tests/support/demo.py

campaign: $(READY) ## property tests, long: make campaign SEED=1 EXAMPLES=20000
	SAMEAS_TEST_EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/python -m pytest tests/property --hypothesis-seed=$(or $(SEED),0)

kills: $(READY) ## kill -9 under load, many times: make kills KILLS=200 SEED=1
	SAMEAS_TEST_KILLS=$(or $(KILLS),200) SAMEAS_TEST_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -s tests/faults/test_kill.py

faults: $(READY) ## disk errors and full disks, long: make faults POINTS=500 FILLS=30 SEED=1
	SAMEAS_TEST_POINTS=$(or $(POINTS),500) SAMEAS_TEST_FILLS=$(or $(FILLS),30) SAMEAS_TEST_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -s tests/faults/test_io_errors.py tests/faults/test_disk_full.py

linear: $(READY) ## linearizability, long: make linear SEED=1 HISTORIES=20000
	SAMEAS_TEST_HISTORIES=$(or $(HISTORIES),20000) SAMEAS_TEST_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -s tests/linear

power: $(READY) ## power-loss images, many: make power SEED=1 IMAGES=100000
	SAMEAS_TEST_IMAGES=$(or $(IMAGES),100000) SAMEAS_TEST_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -s tests/faults/test_power_loss.py

lock: $(READY) ## pin the newest versions that fit, in requirements.lock
	$(BIN)/python tests/support/lock.py

clean: ## remove what the other targets made, but for ./data
	rm -rf .venv .venv-* build dist bench.json .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml client/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable ./client --editable .
	@touch $(READY)
