# Groundwire. `make` lists what there is; `make demo` and `make test` need python3 (3.11 or newer), pip and make only.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS   += --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON ?= python3
PYTEST ?= -n 2
RUN    := .venv/bin
DEV    := .venv-dev/bin
CODE   := rag ingest rerank llm cache
TORCH  := .venv-torch/bin
RAY    := .venv-ray/bin
LOCK   := .ci/lock

# --- environments -----------------------------------------------------------------------------------------------------
# .venv holds what a user installs, .venv-dev adds the tools of the workshop. Both come from the lock, hash by hash;
# --no-deps because the lock is whole and leaves out what is never imported (see `lock`). Neither holds a pip of its own.
PIP = $(PYTHON) -m pip --python $(@D)/bin/python --quiet --quiet --no-input --disable-pip-version-check
define create
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is too old: Groundwire needs Python 3.11 or newer; say which one with PYTHON=...")'
	@echo "making $(@D) from $< ..."
	@rm -rf $(@D)
	@$(PYTHON) -m venv --without-pip $(@D)
	@$(PIP) install --no-compile --no-deps --require-hashes --requirement $<
	@$(PIP) install --no-compile --no-deps --no-build-isolation --editable .
	@$(@D)/bin/python .ci/bytecode.py
	@touch $@
endef

.venv/.installed: $(LOCK)/default.txt
	$(create)

.venv-dev/.installed: $(LOCK)/dev.txt
	$(create)

.venv/.llama: $(LOCK)/llama.txt .venv/.installed
	@$(PIP) install --no-deps --require-hashes --requirement $<
	@touch $@

# The lock leaves torch to pip, without a hash: on Linux the default index has it with 3 GB of CUDA, and pip takes a build
# for the CPU (200 MB) where it is told of an index or a folder that has one, such as PyTorch's own (PIP_EXTRA_INDEX_URL).
.venv-torch/.installed: $(LOCK)/torch.txt
	$(create)
	@$(PIP) install --no-compile 'torch==2.13.0'
	@touch $@

.venv-ray/.installed: $(LOCK)/ray.txt
	$(create)

.PHONY: help install install-dev llama demo serve test test-torch test-ray check format formatted lint types imports docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: .venv/.installed ## make .venv with the default install
	@:

install-dev: .venv-dev/.installed ## make .venv-dev, the default install and the development tools
	@:

llama: .venv/.llama ## add the small language model that runs in process to .venv
	@:

# --- use --------------------------------------------------------------------------------------------------------------
demo: .venv/.installed ## documents in, cited answers out: ingest, serve, ask three questions, stop
	@$(RUN)/python examples/demo.py

serve: .venv/.installed ## serve what is in the data folder
	@$(RUN)/rag serve

# --- checks -----------------------------------------------------------------------------------------------------------
check: formatted lint types imports docs test ## all of the checks below and the tests

test: .venv-dev/.installed ## run the tests
	@$(DEV)/python -m pytest $(PYTEST)

test-torch: .venv-torch/.installed ## run the tests of what needs the torch extra: exporting, the original models, training
	@$(TORCH)/python -m pytest -p no:cacheprovider -m torch $(PYTEST)

test-ray: .venv-ray/.installed ## run the tests of what needs the ray extra: embedding on several machines
	@$(RAY)/python -m pytest -p no:cacheprovider -m ray $(PYTEST)

format: .venv-dev/.installed ## rewrite the code in the house's format
	@$(DEV)/ruff format .

formatted: .venv-dev/.installed ## check the format
	@$(DEV)/ruff format --check .

lint: .venv-dev/.installed ## check with ruff
	@$(DEV)/ruff check .

types: .venv-dev/.installed ## check with mypy, strict
	@$(DEV)/mypy

imports: .venv-dev/.installed ## check who may import whom
	@$(DEV)/lint-imports

docs: .venv-dev/.installed ## check that the documentation is complete and its links hold
	@$(DEV)/python -m pytest --quiet tests/test_docs.py

# --- upkeep -----------------------------------------------------------------------------------------------------------
# Required by what we use and never imported by it, 36 MB that the default install does without: faker (litestar asks
# polyfactory for it, for made-up OpenAPI examples) and huggingface-hub with its train (tokenizers downloads with it).
COMPILE = $(DEV)/uv --quiet --no-config pip compile --universal --python-version 3.11 --generate-hashes --no-header \
          --no-emit-index-url --annotation-style line $(LOCK_FLAGS)
OMIT    = $(addprefix --no-emit-package=,huggingface-hub hf-xet httpx2-jsfetch fsspec filelock tqdm)
OMIT_2  = $(addprefix --no-emit-package=,faker httpx2 httpcore2 truststore) # which our tests and a list of prices do import
FROM    = pyproject.toml $(LOCK)/build.txt --constraint $(LOCK)/constraints.txt
NO_CUDA = $(LOCK)/torch.in --override <(echo "torch ; sys_platform == 'never'") --constraint $(LOCK)/dev.txt

lock: .venv-dev/.installed ## lock the dependencies again (LOCK_FLAGS=--upgrade for newer ones)
	$(COMPILE) $(OMIT) $(OMIT_2) $(FROM) --output-file $(LOCK)/default.txt
	$(COMPILE) $(OMIT) $(OMIT_2) $(FROM) --extra queue --extra redis --extra postgres --output-file $(LOCK)/stack.txt
	$(COMPILE) $(OMIT) $(FROM) --extra dev --output-file $(LOCK)/dev.txt
	$(COMPILE) $(FROM) --all-extras --output-file $(LOCK)/all.txt
	$(COMPILE) $(FROM) $(NO_CUDA) --extra dev --extra torch --output-file $(LOCK)/torch.txt
	$(COMPILE) $(FROM) --constraint $(LOCK)/dev.txt --extra dev --extra ray --output-file $(LOCK)/ray.txt
	$(COMPILE) --no-deps $(LOCK)/llama.in --output-file $(LOCK)/llama.txt

clean: ## remove the environments and caches
	@rm -rf .venv .venv-dev .venv-torch .venv-ray .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	@find $(CODE) tests -name __pycache__ -type d -prune -exec rm -rf {} +
