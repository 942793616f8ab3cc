# make book and make test do everything on a machine with Python ≥ 3.11 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Threads that wait sleep: kernels that run side by side would take each other's cores by spinning.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: book test bench notebooks lint format address lock clean help

help:  ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

book: $(READY)  ## execute the chapters and render the book into _build/html
	$(BIN)/python tools/book.py html

test: book lint  ## check every formula, every cell and every page
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope tests src
	$(BIN)/python -m pytest book  # the cells of a notebook need one worker

notebooks: $(READY)  ## execute the chapters and write the notebook beside each source
	$(BIN)/python tools/book.py notebooks

bench: $(READY)  ## time score engine and observability against alternatives; store the results in the package
	$(BIN)/python -m pip install --quiet --constraint $(VENV)/constraints.txt --editable ".[bench]"
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

lock: $(READY)  ## renew the pins of constraints.txt, for every Python; keeps those that can stay
	$(BIN)/python tools/environment.py lock

clean:  ## remove what was built, and the environment
	rm -rf _build dist $(VENV)

# Which versions were taken stands in $(VENV)/constraints.txt.
$(READY): pyproject.toml constraints.txt tools/environment.py
	$(PYTHON) tools/environment.py setup $(VENV)
	touch $(READY)
