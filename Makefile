# Everything a person does here. `make run` and `make test` need Python 3.11 or later and nothing else.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
ARGS ?=
# The rooms that meet other packages.
OLDEST := datasets evaluation/features explorer exporting pipelines reporting samples serving storage tracking

.PHONY: help run test test-all check lint format test-oldest viz mlflow explore docs bench faults clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is required and was not found. Install it, or run make PYTHON=/path/to/python"; exit 1; }
	@echo "Making .venv and installing the packages in it: a few minutes, the first time only"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

run: $(READY) ## the whole pipeline on the embedded synthetic portraits; ARGS="--env celeba" for others
	$(BIN)/kedro run $(ARGS)

test: check ## formatter, linter, types, import contracts, tests
	$(BIN)/pytest -m "not slow" -n 2 --dist worksteal $(ARGS)

test-all: check ## the same with the slow tests
	$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

test-oldest: ## a quick part of the tests with Python 3.11 and the oldest packages that pyproject.toml allows, in .venv-oldest
	python3.11 -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --disable-pip-version-check --quiet 'uv>=0.9'
	VIRTUAL_ENV=.venv-oldest .venv-oldest/bin/uv pip install --quiet --resolution lowest-direct --requirement pyproject.toml --extra dev
	VIRTUAL_ENV=.venv-oldest .venv-oldest/bin/uv pip install --quiet --no-deps --editable .
	.venv-oldest/bin/pytest -m "not slow" -n 2 --dist worksteal tests/test_cli.py tests/test_api.py \
		tests/test_end_to_end.py $(addprefix tests/,$(OLDEST)) $(ARGS)

check: $(READY) ## formatter, linter, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

lint: check ## everything of test except the tests

format: $(READY) ## formats the code, applies what the linter can fix, writes the generated parts of docs
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/python docs/hooks.py

viz: $(READY) ## the pipeline with its pictures, in the browser
	$(BIN)/kedro viz run $(ARGS)

mlflow: $(READY) ## the tracked runs, in the browser
	$(BIN)/python -m celeba_gan.tracking $(ARGS)

explore: $(READY) ## a page to explore the generators: sliders, blends, photographs; ARGS="--model demo"
	$(BIN)/python -m celeba_gan.explorer $(ARGS)

docs: $(READY) ## the documentation, in build/docs: open build/docs/index.html; ARGS="serve" shows it while you write
	$(BIN)/python docs/hooks.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(or $(ARGS),build)

bench: $(READY) ## measurements, about three and a half hours: packing, speed, memory, modes, quality, ranking, metrics
	$(BIN)/python benchmarks/packing.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/feeding.py
	$(BIN)/python benchmarks/augmenting.py
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/ticks.py
	$(BIN)/python benchmarks/measuring.py
	$(BIN)/python benchmarks/generating.py
	$(BIN)/python benchmarks/hostile_files.py
	$(BIN)/python benchmarks/hostile_data.py
	$(BIN)/python benchmarks/gpu.py
	$(BIN)/python benchmarks/modes.py
	$(BIN)/python benchmarks/quality.py base modern_demo
	$(BIN)/python benchmarks/ranking.py --seconds 600
	$(BIN)/python benchmarks/corruptions.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/storage.py

faults: $(READY) ## kills, full disks, damaged files, lost servers, and twenty minutes of stopping and resuming: about an hour
	$(BIN)/python benchmarks/faults.py
	$(BIN)/python benchmarks/soak.py

clean: ## removes .venv and caches; data/ and the tracked runs stay
	rm -rf .venv .venv-oldest .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build src/*.egg-info
	find src tests benchmarks docs -name __pycache__ -type d -exec rm -rf {} +
