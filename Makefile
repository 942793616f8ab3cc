# make book and make test do everything on a machine with Python ≥ 3.11 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Threads that wait sleep: kernels that run side by side would take each other's cores by spinning.
export OMP_WAIT_POLICY := PASSIVE
# One thread for each kernel and each worker, as many of them as there are cores: nothing is gained by
# more, and the last digits do not depend on the number of cores.
export OMP_NUM_THREADS ?= 1

.PHONY: book test bench notebooks seeds lint format address clean help

help:  ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

book: $(READY)  ## execute the chapters and render the book into _build/html
	$(BIN)/python tools/book.py html

test: book lint  ## check every formula, every cell and every page
	$(BIN)/python -m pytest --numprocesses auto --dist loadscope tests src
	$(BIN)/python tools/reader.py  # nbval, with the wheel alone

notebooks: $(READY)  ## execute the chapters and write the notebook beside each source
	$(BIN)/python tools/book.py notebooks

seeds: $(READY)  ## run the book with five other sets of seeds and list what fails
	$(BIN)/python tools/seeds.py

bench: $(READY)  ## time score engine and observability against alternatives; store the results in the package
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python -m pytest benchmarks/bench_kde_score.py --benchmark-json _build/benchmark.json
	$(BIN)/python benchmarks/store.py _build/benchmark.json cpu
	$(BIN)/python -m pytest benchmarks/bench_observability.py --benchmark-json _build/benchmark.json
	$(BIN)/python benchmarks/store.py _build/benchmark.json cpu observability

lint: $(READY)  ## style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)  ## put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

address: $(READY)  ## write the repository address from _config.yml wherever it is needed
	$(BIN)/python tools/book.py address
	$(BIN)/python tools/book.py notebooks

clean:  ## remove what was built, and the environment
	rm -rf _build dist $(VENV)

# The versions in constraints.txt are exact; torch goes first, so that nothing pulls another build.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scoredrift needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[book,test,dev]"
	touch $(READY)
