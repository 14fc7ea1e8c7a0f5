# Millrace's doors. `make` alone lists them.
SHELL := /bin/bash
VENV ?= .venv
PYTHON := $(VENV)/bin/python
# More arguments for the command behind a door, e.g. make test ARGS="-k invoice"
ARGS ?=

# platform/ is a source root: the doors work from a checkout whose .venv is another's, too.
export PYTHONPATH := $(CURDIR)/platform:$(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test check bench chaos stop clean

help: ## list the doors
	@echo "make …"
	@sed -n 's/^\([a-z]*\):[a-z ]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## install everything into .venv (only when the list of packages has changed)
	@VENV="$(VENV)" deploy/setup.sh

demo: setup ## play one business month on embedded services and print its report
	@MILLRACE_SERVICES=$${MILLRACE_SERVICES:-demo} $(PYTHON) manage.py demo $(ARGS)

dev: setup ## web, workers, serving, beat and the Stripe sandbox, with the demo's data where it has been played
	@MILLRACE_SERVICES=$${MILLRACE_SERVICES:-$(if $(wildcard var/demo/report.json),demo,dev)} $(PYTHON) manage.py dev $(ARGS)

test: setup ## run all tests
	@$(PYTHON) -m pytest -n 2 --dist loadfile $(ARGS)

# Every step runs even where one before it fails, so that one call tells all there is to mend.
CHECKS := "$(PYTHON) -m ruff format --check ." "$(PYTHON) -m ruff check ." "$(PYTHON) -m mypy ." \
	"$(VENV)/bin/lint-imports" "$(PYTHON) manage.py makemigrations --check --dry-run"

check: setup ## format, lint, types, who may import whom, migrations
	@failed=(); for step in $(CHECKS); do echo "== $$step"; $$step || failed+=("$$step"); done; \
	if [ $${#failed[@]} -gt 0 ]; then printf 'check failed: %s\n' "$${failed[@]}" >&2; exit 1; fi; echo "check: all passed"

bench: setup ## measure against the best alternatives: var/bench/report.json
	@MILLRACE_SERVICES=$${MILLRACE_SERVICES:-bench} $(PYTHON) manage.py bench $(ARGS)

chaos: setup ## inject faults and count what was lost: var/chaos/report.json
	@MILLRACE_SERVICES=$${MILLRACE_SERVICES:-chaos} $(PYTHON) manage.py chaos $(ARGS)

stop: ## stop the embedded services
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m millrace.embedded stop; fi

clean: stop ## delete the embedded services' data, reports and caches (not .venv)
	@rm -rf var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
	@echo "deleted var/ and the caches"
