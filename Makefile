# `make` alone lists the targets. Every target that needs the environment sets it up first; when
# nothing has changed that takes a fraction of a second and installs nothing.

PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/demo
CHECKED := $(wildcard src tools tests benchmarks)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format lock bench wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

setup: ## make .venv and install the pinned packages, or do nothing
	@$(PYTHON) tools/bootstrap.py

demo: setup ## train, map, route and report on real movie reviews (RUN=folder, default runs/demo)
	@$(BIN)/dimec demo --out "$(RUN)"

test: lint ## lint, then run every test
	HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -q --durations=10

lint: setup ## ruff and mypy --strict
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy $(CHECKED)

format: setup ## let ruff sort imports and lay out the code
	$(BIN)/ruff check --select I --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

lock: setup ## write requirements.lock anew (UPGRADE=1 takes the newest versions)
	@$(BIN)/python tools/lock.py $(if $(UPGRADE),--upgrade)

bench: setup ## run the benchmarks
	$(BIN)/python benchmarks/run.py

wheel: setup ## build the wheel and the source archive into dist/
	$(BIN)/python -m build --no-isolation --outdir dist .

clean: ## remove builds and caches (not .venv, not runs/)
	rm -rf dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
