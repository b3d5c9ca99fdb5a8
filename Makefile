# The two commands of the README: `make run` and `make test`. Both set up the environment first.
SHELL := /bin/bash
PYTHON ?= python3
ENVIRONMENT := .venv
ACTIVATE := source $(ENVIRONMENT)/bin/activate
PINS := envs/requirements.txt envs/constraints.txt envs/without_dependencies.txt pyproject.toml
STAMP := $(ENVIRONMENT)/.installed
TOOLS := $(ENVIRONMENT)/tools/.installed
# Tests of one module run in one process, which makes what they share once.
PARALLEL := --numprocesses auto --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help env run test acceptance unit-test faults mutants lint format docs ui tracking-server verify explain privacy hooks sbom audit clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

env: $(STAMP) ## Create .venv with the pinned dependencies

$(STAMP): $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "error: $(PYTHON) is $$($(PYTHON) --version 2>&1), Python 3.11 is needed: make PYTHON=python3.11 …" >&2; exit 1; }
	$(PYTHON) -m venv $(ENVIRONMENT)
	$(ACTIVATE) && pip install --quiet --disable-pip-version-check \
		--requirement envs/requirements.txt --constraint envs/constraints.txt
	$(ACTIVATE) && pip install --quiet --disable-pip-version-check --no-deps --requirement envs/without_dependencies.txt --editable .
	@touch $@

run: $(STAMP) ## Run the study of params.yaml and show its table
	@$(ACTIVATE) && snakemake --cores all && python -m workflow_scripts.steps.show_summary

test: $(STAMP) ## Run the tests, on every core: all parts, and a small study as a whole
	@$(ACTIVATE) && python -m pytest $(PARALLEL)

acceptance: $(STAMP) ## Run the tests that take minutes: whole studies in many ways, clusters, servers, browsers
	@$(ACTIVATE) && python -m pytest $(PARALLEL) -m acceptance

unit-test: $(STAMP) ## Run the quick tests only
	@$(ACTIVATE) && python -m pytest $(PARALLEL) -m "not workflow"

mutants: $(STAMP) ## Change the code in small ways, one at a time, and count what the quick tests notice
	@$(ACTIVATE) && pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(ENVIRONMENT)/mutation \
		--requirement envs/mutation.txt && PYTHONPATH=$(ENVIRONMENT)/mutation python tests/mutation/run_mutants.py

faults: $(STAMP) ## Inject every fault of the catalogue and write docs/reliability.md
	@$(ACTIVATE) && python tests/faults/run_catalogue.py

lint: $(STAMP) ## Check style, types and workflow
	@$(ACTIVATE) && ruff check . && ruff format --check . && mypy \
		&& snakefmt --check Snakefile rules && snakemake --lint

format: $(STAMP) ## Format code and workflow
	@$(ACTIVATE) && ruff check --fix . && ruff format . && snakefmt Snakefile rules

docs: $(STAMP) ## Build the documentation as a site in docs/_build; warnings are errors
	@$(ACTIVATE) && python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs docs/_build

ui: $(STAMP) ## Browse the runs in MLflow on 127.0.0.1:5000
	@$(ACTIVATE) && python -m workflow_scripts.steps.browse_runs --port 5000

tracking-server: $(STAMP) ## Serve MLflow to several machines from PostgreSQL (docs/tracking-server.md)
	@$(ACTIVATE) && python -m workflow_scripts.steps.serve_tracking $(OPTIONS)

verify: $(STAMP) ## Reproduce every stored hash and metric from the stored files, without training
	@$(ACTIVATE) && python -m workflow_scripts.steps.verify_results

explain: $(STAMP) ## Print a run's record: make explain RUN=results/…/seed0
	@$(ACTIVATE) && python -m workflow_scripts.steps.explain_run "$(RUN)"

privacy: $(STAMP) ## Look for rows of patients outside the data folders
	@$(ACTIVATE) && python -m workflow_scripts.steps.check_privacy

hooks: ## Let git refuse commits that hold rows of patients
	git config core.hooksPath .githooks

$(TOOLS): envs/supply-chain.txt $(STAMP)
	$(PYTHON) -m venv $(ENVIRONMENT)/tools
	$(ENVIRONMENT)/tools/bin/pip install --quiet --disable-pip-version-check --requirement envs/supply-chain.txt
	@touch $@

sbom: $(TOOLS) ## Write the software bill of materials to logs/sbom.json
	@mkdir -p logs && $(ENVIRONMENT)/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file logs/sbom.json $(ENVIRONMENT)/bin/python

audit: $(TOOLS) ## Ask the package index for known vulnerabilities of the pins
	$(ENVIRONMENT)/tools/bin/pip-audit --no-deps --disable-pip --requirement envs/hashes.txt

clean: ## Remove what the workflow made (not the environment, not raw data)
	rm -rf results logs .snakemake $(filter-out weights/embedded,$(wildcard weights/*)) $(filter-out data/raw,$(wildcard data/*))
