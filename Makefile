# For GNU make 3.81 (macOS) and later.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder --durations=15

.PHONY: help setup installed run test test-slow test-long lint format lock audit clean

help:
	@echo 'make setup      make .venv with the locked packages; find or install Stockfish and the viewer'\''s board'
	@echo 'make run        setup, then the main job (experiments/specs/default.yaml)'
	@echo 'make test       setup, then lint and the tests that are not slow by nature'
	@echo 'make test-slow  setup, then the slow tests: coverage of intervals, soak, whole specs, whole experiments'
	@echo 'make test-long  setup, then those of minutes each: hosts that come and go, kills, most examples'
	@echo 'make lint       setup, then ruff and mypy'
	@echo 'make format     setup, then reformat the code'
	@echo 'make lock       setup, then renew requirements.lock and the image'\''s from pyproject.toml'
	@echo 'make audit      setup, then look for known vulnerabilities of the locked packages (asks PyPI)'
	@echo 'make clean      delete what tools left behind; .venv and runs stay'

setup: installed
	@scripts/setup.sh done

installed: $(INSTALLED)
	@scripts/setup.sh stockfish
	@scripts/setup.sh web

$(INSTALLED): requirements.lock torch.lock pyproject.toml engines/rules.c
	@scripts/setup.sh venv
	@touch $@

run: installed
	$(BIN)/sandwich run experiments/specs/default.yaml

test: lint
	$(PYTEST) --numprocesses 2 -m 'not slow'

test-slow: installed
	$(PYTEST) --numprocesses 3 -m 'slow and not long' # these often wait for processes that start

test-long: installed
	$(PYTEST) --numprocesses 3 -m long

lint: installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

format: installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-package torch \
    --no-annotate --constraint torch.lock --custom-compile-command 'make lock'

lock: installed
	$(BIN)/$(COMPILE) --extra dev --upgrade --output-file requirements.lock
	$(BIN)/$(COMPILE) --extra cluster --upgrade --constraint requirements.lock --output-file docker/requirements.lock

audit: installed
	$(BIN)/uv tool run pip-audit --progress-spinner off --disable-pip --require-hashes --requirement requirements.lock

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find engines agents sandwich experiments tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} +
