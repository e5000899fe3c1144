# Everything one can do here. `make` alone prints this list; every target makes its own .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

python := .venv/bin/python
venv := .venv/.ready
# Results of marked tests, read by `make rows`.
rows_reports := build/rows
pytest := $(python) -m pytest -n 2 --dist worksteal
sources := src tests tools $(wildcard examples) $(wildcard benchmarks)
# Each part of the long runs takes half an hour at the most, and has the files that it runs.
torture_parts := kills power journal file lsm servers random faults interrupts content
# Those whose tests are short enough to be shared out among two cores.
torture_shared := faults interrupts
torture_kills := tests/crash/test_kills.py
torture_power := tests/crash/test_power_loss.py
torture_journal := tests/crash/journal/test_points.py tests/crash/journal/test_full_journal.py tests/crash/journal/test_visitors.py
torture_file := tests/crash/test_file_crashes.py
torture_lsm := tests/engines/lsm/test_kills.py tests/engines/lsm/test_power_loss.py tests/engines/rocksdb/test_rocksdb_promises.py tests/engines/test_contract_rocksdb.py
torture_servers := tests/servers/test_kills_on_servers.py tests/servers/test_entries_on_servers.py tests/engines/redis/test_redis_restarts.py tests/engines/postgres/test_postgres_restarts.py
torture_random := tests/store/test_random_operations.py
torture_faults := tests/faults/test_random_faults.py tests/faults/test_interrupted_documents.py tests/faults/test_real_interrupts.py
torture_interrupts := tests/faults/test_interrupted_databases.py tests/faults/test_interrupted_file.py
torture_content := tests/stores/merkle/test_content.py tests/encryption/test_contract_encrypted.py tests/layers/test_contract_layers.py tests/engines/test_sqlite_sharing.py tests/stores/versions/test_races.py

# Where the demo keeps its data: servers are started for it, and end with it.
demo_url = $(if $(filter redis postgres,$(ENGINE)),--url {url},$(if $(filter memory,$(ENGINE)),--url memory://,$(if $(ENGINE),--url $(ENGINE):///demo-data/cities)))

.PHONY: $(addprefix torture-,$(torture_parts))
.PHONY: help demo test check torture bench bench-quick docs rows pythons format lint types floors sync reference clean

help:  ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | \
	  while IFS='|' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

demo: $(venv)  ## store, change, watch, kill and reopen real data, and verify all of it (ENGINE=lmdb|sqlite|file|rocksdb|leveldb|memory|redis|postgres)
	$(if $(filter redis postgres,$(ENGINE)),$(python) -m tests.servers $(ENGINE)) $(python) -m examples.demo $(demo_url)

test: $(venv)  ## all tests but the long ones, on two cores
	$(pytest) --rows-report=$(rows_reports)/test.json tests

check: $(venv)  ## format, lint, types, floors, generated files, tests, coverage, docs, rows, other Pythons
	@tools/step "format" $(python) -m ruff format --check $(sources)
	@tools/step "lint" $(python) -m ruff check $(sources)
	@tools/step "types" $(python) -m mypy
	@tools/step "floors" .venv/bin/lint-imports
	@tools/step "sync twins fresh" $(python) -m tools.make_sync --check
	@tools/step "reference fresh" $(python) -m tools.make_reference --check
	@rm -f .coverage .coverage.*
	@tools/step "tests" $(MAKE) --no-print-directory test \
	  pytest="$(pytest) --cov --cov-report="
	@tools/step "coverage" $(python) tools/coverage_floors.py
	@tools/step "docs" $(MAKE) --no-print-directory docs
	@tools/step "rows" $(MAKE) --no-print-directory rows
	@tools/step "other Pythons" $(python) tools/pythons.py --smoke
	@echo "check: all green"

torture: $(addprefix torture-,$(or $(part),$(torture_parts)))  ## the long runs, or one of them (part=kills|power|journal|file|lsm|servers|random|faults|interrupts|content)

$(addprefix torture-,$(torture_parts)): torture-%: $(venv)
	$(if $(filter $*,$(torture_shared)),$(pytest),$(python) -m pytest) -m torture --timeout=1800 --rows-report=$(rows_reports)/torture-$*.json $(torture_$*)

bench: .venv/.bench  ## measure ours beside the raw drivers and beside rivals; prints Markdown tables
	$(python) -m benchmarks

bench-quick: .venv/.bench  ## in a minute: one caller beside the same rows by hand, and work counted
	$(python) -m benchmarks --quick --without-peers --only by-hand counters

docs: $(venv)  ## check the links and run the code blocks of every document
	$(python) -m pytest -q -p no:randomly tests/tidy/test_documents.py

pythons: $(venv)  ## the suite's core on every other Python of this machine (a few minutes)
	$(python) tools/pythons.py $(versions)

rows: $(venv)  ## requirement rows of all floors with their tests and results (seed=K, floor=spine)
	@[ -f $(rows_reports)/test.json ] || $(MAKE) --no-print-directory test
	$(python) tools/rows.py $(if $(seed),--seed $(seed)) $(if $(floor),--floor $(floor)) $(rows_reports)/*.json

format: $(venv)  ## rewrite files in the house format
	$(python) -m ruff check --fix-only --quiet $(sources)
	$(python) -m ruff format $(sources)

lint: $(venv)  ## ruff, without changing anything
	$(python) -m ruff format --check $(sources)
	$(python) -m ruff check $(sources)

types: $(venv)  ## mypy, strict
	$(python) -m mypy

floors: $(venv)  ## imports only go down
	.venv/bin/lint-imports

sync: $(venv)  ## write the sync twins anew from their async sources
	$(python) -m tools.make_sync

reference: $(venv)  ## write the generated documents anew from the docstrings
	$(python) -m tools.make_reference

clean:  ## remove what make made, the environment too
	rm -rf .venv build .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(venv): pyproject.toml tools/venv
	@tools/venv dev
	@touch $@

.venv/.bench: $(venv)
	@tools/venv bench
	@touch $@
