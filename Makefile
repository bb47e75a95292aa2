# groundup's habits. Needs make, git and Python 3.11 or newer; everything else goes into .venv.
#
#   make demo      a tiny assistant, from raw documents to a measured, compressed model
#   make test      what CI runs            make slow    the tests that `make test` leaves out
#   make quick     the tests that a diff reaches: uncommitted, or BASE=COMMIT
#   make check     style, types, docs      make fix     repair style
#   make bench     speed against peers     make oracles peers in a venv of their own, new fixtures
#   make bench-decode  decoding beside llama.cpp, built here, and transformers
#   make kills     a run killed 20 times   make demo-check  the demo's models against transformers
#   make simulations  the statistics held against a known truth
#   make yardsticks   corpora and demo against what they were before
#   make mutants   small faults that tests must see (MUTANTS="--room core")
#   make flaky     tests of threads and processes ten times on a busy machine

VENV ?= .venv
BIN := $(VENV)/bin
ORACLES ?= .oracles
export ORACLES
# Workers and children of tests read the bytecode that the first one wrote.
unexport PYTHONDONTWRITEBYTECODE
OUT ?= runs/tiny
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

# Peers conflict with each other, so each kind has an environment of its own: tests/oracles/NAME.txt.
# llama.cpp takes minutes to build, so `make oracles` leaves out that of `make bench-decode`.
PEERS := $(filter-out decode,$(basename $(notdir $(wildcard tests/oracles/*.txt))))

# What needs no data of its own; the others say in their first lines what they are given.
BENCHES := documents.hostile evaluate.refusal kernels.attention kernels.experts measure.code_verdicts \
	measure.measures_speed tokenizer.imported_tokenizers train.train

# Whole files go to workers, longest first (tests/conftest.py).
WORKERS ?= 2
PARALLEL := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Tests whose code is compiled or uses vector instructions run once more without either; there the
# shapes of every call are checked, elsewhere those of the first ones (tests/checking.py).
NATIVE := --ignore=tests/kernels/test_compiled.py \
	$(wildcard tests/test_tiny.py tests/kernels tests/model tests/embeddings tests/tokenizer/test_f*.py)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test quick slow check fix bench bench-decode simulations yardsticks mutants flaky kills demo-check gpu-check oracles clean

help:
	@sed -n '3,13s/^# *//p' Makefile

demo: $(VENV)/.demo
	$(BIN)/groundup run tiny --out $(OUT)

test: $(VENV)/.test
	$(PARALLEL)
	GROUNDUP_CHECKED_CALLS=all GROUNDUP_COMPILE=0 ATEN_CPU_CAPABILITY=avx2 $(PARALLEL) $(NATIVE)

quick: $(VENV)/.test
	$(PARALLEL) $$($(BIN)/python -m tests.reached $(BASE))

slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.test $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_architecture.py

fix: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.demo
	for name in $(BENCHES); do $(BIN)/python -m benchmarks.$$name || exit 1; done
	$(BIN)/python -m benchmarks.table

bench-decode: $(VENV)/.test $(ORACLES)/decode/.made
	$(BIN)/python -m benchmarks.generate.decode
	$(BIN)/python -m benchmarks.table

simulations: $(VENV)/.demo
	$(BIN)/python -m benchmarks.measure.simulations

yardsticks: $(VENV)/.test
	$(BIN)/python -m benchmarks.yardsticks corpora
	$(BIN)/python -m benchmarks.yardsticks demo $(OUT)

mutants: $(VENV)/.test
	$(BIN)/python tests/mutants/run.py $(MUTANTS)

flaky: $(VENV)/.test
	$(BIN)/python tests/flaky.py

kills: $(VENV)/.demo
	$(BIN)/python -m benchmarks.recipes.demo_kills

gpu-check: $(VENV)/.demo
	$(BIN)/python -m benchmarks.recipes.gpu_check

demo-check: $(VENV)/.demo $(ORACLES)/transformers/.made
	$(BIN)/python -m benchmarks.recipes.demo_check --run $(OUT) --peer $(ORACLES)/transformers/bin/python

oracles: $(foreach name,$(PEERS),$(ORACLES)/$(name)/.made)
	$(MAKE) -C tests/oracles ORACLES="$(abspath $(ORACLES))"

clean:
	rm -rf $(VENV) $(ORACLES) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

# ---- environments: a stamp file says what is installed; a changed pyproject.toml renews it ----

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "make: expected Python 3.11 or newer on the PATH; found none." \
		"Install one, or say: make PYTHON=/path/to/python3" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "make: this Python cannot make" \
		"virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; \
		rm -rf $(VENV); exit 2; }
	touch $@

$(VENV)/.demo $(VENV)/.test $(VENV)/.check: $(VENV)/.%: $(VENV)/.python pyproject.toml
	$(BIN)/pip install -q -e '.[$*]'
	touch $@

$(ORACLES)/%/.made: tests/oracles/%.txt | $(VENV)/.python
	test -x $(ORACLES)/$*/bin/python || $(PYTHON) -m venv $(ORACLES)/$*
	$(ORACLES)/$*/bin/pip install -q $(TORCH_FLAGS) -r $<
	touch $@
