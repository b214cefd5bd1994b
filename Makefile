# Two commands do everything on a fresh machine with Python >= 3.11: `make run` and `make test`.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint types unit stress soak mutation bench lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := .venv-bench

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

define set_up  # $(1) folder, $(2) pinned requirements. The project itself needs nothing more, so pip resolves nothing.
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bulkops needs Python 3.11 or later; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/build.txt
	$(1)/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-build-isolation -r $(2)
	$(1)/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(1)/.ready
endef

$(READY): requirements/build.txt requirements/dev.txt pyproject.toml
	$(call set_up,$(VENV),requirements/dev.txt)

$(BENCH)/.ready: requirements/build.txt requirements/bench.txt pyproject.toml
	$(call set_up,$(BENCH),requirements/bench.txt)

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
	$(BIN)/pytest -m "untraced and not stress" -n 2 --dist loadgroup
	$(BIN)/pytest -m "not untraced and not stress" -n 3 --dist loadgroup --cov --cov-report=term

stress: $(READY)  ## the long tests: minutes each
	$(BIN)/pytest -m stress -v

soak: $(READY)  ## SOAK seconds (900) of real processes, faults and kills, reconciled at the end
	$(BIN)/python -m tests.soak --seconds $(or $(SOAK),900)

mutation: $(READY)  ## break the promises on purpose, one by one; a test must fail each time
	$(BIN)/python -m tests.mutation

bench: $(BENCH)/.ready  ## all benchmarks, side by side with what people would use instead
	$(BENCH)/bin/python -m benchmarks $(PARTS)

lock:  ## pin what pyproject.toml asks for, by hash (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--upgrade requirements/build.in -o requirements/build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--upgrade pyproject.toml --extra uvloop --group dev -o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--upgrade pyproject.toml --extra uvloop --group bench -o requirements/bench.txt

clean:
	rm -rf $(VENV) $(BENCH) .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache build *.egg-info
