# `make` alone lists the targets. Every target that needs the environment sets it up first; when
# nothing has changed that takes a fraction of a second and installs nothing.

PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/demo
# One more than there are cores: tests wait for processes and sockets of theirs.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
CHECKED := $(wildcard src studies tools tests benchmarks conformance deploy examples)

.DEFAULT_GOAL := help
.PHONY: help setup demo test suite lint format lock bench conformance docs wheel release-check clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

setup: ## make .venv, install the pinned packages and those of web/, or do nothing
	@$(PYTHON) tools/bootstrap.py

demo: setup ## train, map, route and report on real movie reviews (RUN=folder, default runs/demo)
	@$(BIN)/dimec demo --out "$(RUN)"

test: setup ## lint, and beside it run every test and print what part of the code they ran
	@$(MAKE) --no-print-directory -j 2 lint suite

suite: setup
	@mkdir -p build
	HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m slipcover --json --out build/coverage.json \
	  -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=10
	@$(BIN)/python tools/coverage_table.py build/coverage.json --floor 70

lint: setup ## ruff and mypy --strict
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy $(filter-out conformance,$(CHECKED))
	$(if $(filter conformance,$(CHECKED)),$(BIN)/mypy conformance)

format: setup ## let ruff sort imports and lay out the code
	$(BIN)/ruff check --select I --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

lock: setup ## write requirements.lock anew (UPGRADE=1 takes the newest versions)
	@$(BIN)/python tools/lock.py $(if $(UPGRADE),--upgrade)

bench: setup ## run the benchmarks (BENCH="tiers serving" for some of them)
	$(BIN)/python benchmarks/run.py $(BENCH)

conformance: setup ## our clients against a real Triton (.triton), manifests against KServe (.kserve), Ray (.ray), trackers (.trackers), ExecuTorch (.executorch)
	@$(BIN)/python tools/triton_setup.py
	@$(BIN)/python tools/kserve_setup.py
	@$(BIN)/python tools/ray_setup.py
	@$(BIN)/python tools/trackers_setup.py
	@$(BIN)/python tools/executorch_setup.py
	HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -q conformance

docs: setup ## build the site of the documentation into build/site, and check its links
	@$(BIN)/python tools/docs_build.py

wheel: setup ## build the wheel and the source archive into dist/
	$(BIN)/python -m build --no-isolation --outdir dist .

release-check: setup ## build a release and install it in clean environments (EXTRAS=none, ARGS=--released)
	$(BIN)/python tools/release_check.py --extras $(or $(EXTRAS),all) $(ARGS)

clean: ## remove builds and caches (not .venv, not runs/)
	rm -rf dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src studies tests tools benchmarks conformance -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
