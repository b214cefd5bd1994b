# Two commands do everything on a fresh machine with Python >= 3.11: `make run` and `make test`.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint types unit stress soak mutation bench lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

# The two files pin every package by hash. The project itself needs nothing more, so pip resolves nothing.
$(READY): requirements/build.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bulkops needs Python 3.11 or later; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --require-hashes -r requirements/build.txt
	$(PIP) install --require-hashes --no-build-isolation -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(READY)

run: $(READY)  ## set up, and carry out the sample job against the sandbox inside the process
	$(BIN)/bulkops run jobs/demo.csv --sandbox --yes

test: lint types unit  ## format, lint, types, tests, docs: what CI runs

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/coverage erase
	$(BIN)/pytest -m "not stress" -n 2 --dist loadgroup --cov --cov-report=term

stress: $(READY)  ## the long tests: minutes each
	$(BIN)/pytest -m stress -v

soak: $(READY)  ## SOAK seconds (900) of real processes, faults and kills, reconciled at the end
	$(BIN)/python -m tests.soak --seconds $(or $(SOAK),900)

mutation: $(READY)  ## break the promises on purpose, one by one; a test must fail each time
	$(BIN)/python -m tests.mutation

bench: $(READY)  ## all benchmarks, side by side with what people would use instead
	$(BIN)/python -m benchmarks

lock:  ## pin what pyproject.toml asks for, by hash (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--upgrade requirements/build.in -o requirements/build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--upgrade pyproject.toml --extra uvloop --group dev -o requirements/dev.txt

clean:
	rm -rf $(VENV) .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache build *.egg-info
