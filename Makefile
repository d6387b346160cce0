# For GNU make 3.81 (macOS) and later.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: help setup installed run test test-slow lint format lock clean

help:
	@echo 'make setup      make .venv with the locked packages; find or install Stockfish and the viewer'\''s board'
	@echo 'make run        setup, then the main job (experiments/specs/default.yaml)'
	@echo 'make test       setup, then lint and the tests that are not slow by nature'
	@echo 'make test-slow  setup, then the slow tests: coverage of intervals, soak, whole specs, whole experiments'
	@echo 'make lint       setup, then ruff and mypy'
	@echo 'make format     setup, then reformat the code'
	@echo 'make lock       setup, then renew requirements.lock from pyproject.toml (Python 3.11)'
	@echo 'make clean      delete what tools left behind; .venv and runs stay'

setup: installed
	@scripts/setup.sh done

installed: $(INSTALLED)
	@scripts/setup.sh stockfish
	@scripts/setup.sh web

$(INSTALLED): requirements.lock pyproject.toml
	@scripts/setup.sh venv
	@touch $@

run: installed
	$(BIN)/sandwich run experiments/specs/default.yaml

test: lint
	$(PYTEST) -m 'not slow'

test-slow: installed
	$(PYTEST) -m slow

lint: installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

format: installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: installed
	$(BIN)/python scripts/lock.py

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find engines agents sandwich experiments tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} +
