# The two commands of the README: `make run` and `make test`. Both set up the environment first.
SHELL := /bin/bash
PYTHON ?= python3
ENVIRONMENT := .venv
ACTIVATE := source $(ENVIRONMENT)/bin/activate
PINS := envs/requirements.txt envs/constraints.txt envs/uni2ts.txt pyproject.toml
STAMP := $(ENVIRONMENT)/.installed

.DEFAULT_GOAL := help
.PHONY: help env run test unit-test lint format ui clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

env: $(STAMP) ## Create .venv with the pinned dependencies

$(STAMP): $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1), Python 3.11 is needed: make PYTHON=python3.11 …" >&2; exit 1; }
	$(PYTHON) -m venv $(ENVIRONMENT)
	$(ACTIVATE) && pip install --quiet --disable-pip-version-check \
		--requirement envs/requirements.txt --constraint envs/constraints.txt
	$(ACTIVATE) && pip install --quiet --disable-pip-version-check --no-deps --requirement envs/uni2ts.txt --editable .
	@touch $@

run: $(STAMP) ## Run the study of params.yaml and show its table
	@$(ACTIVATE) && snakemake --cores all && python -m workflow_scripts.show_summary

test: $(STAMP) ## Run the whole test suite
	@$(ACTIVATE) && python -m pytest

unit-test: $(STAMP) ## Run the quick tests only
	@$(ACTIVATE) && python -m pytest -m "not workflow"

lint: $(STAMP) ## Check style, types and workflow
	@$(ACTIVATE) && ruff check . && ruff format --check . && mypy \
		&& snakefmt --check Snakefile rules && snakemake --lint

format: $(STAMP) ## Format code and workflow
	@$(ACTIVATE) && ruff check --fix . && ruff format . && snakefmt Snakefile rules

ui: $(STAMP) ## Browse the runs in MLflow on 127.0.0.1:5000
	@$(ACTIVATE) && python -m workflow_scripts.browse_runs --port 5000

clean: ## Remove what the workflow made (not the environment, not raw data)
	rm -rf results logs .snakemake $(filter-out weights/embedded,$(wildcard weights/*)) $(filter-out data/raw,$(wildcard data/*))
