# make book and make test do everything on a machine with Python ≥ 3.11 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One thread for each kernel and each worker, as many of them as there are cores: nothing is gained by
# more, and the last digits do not depend on the number of cores. Threads that wait sleep: kernels that run
# side by side would take each other's cores by spinning.
book test notebooks seeds: export OMP_NUM_THREADS ?= 1
book test notebooks seeds: export OMP_WAIT_POLICY := PASSIVE

.PHONY: book test seeds bench gpu notebooks lint format address lock clean help

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

BENCHMARKS = kde_score observability training images pruning cifar
bench: $(READY)  ## time score engine, observability and training against alternatives; store the results in the package
	$(BIN)/python -m pip install --quiet --constraint $(VENV)/constraints.txt --editable ".[bench]"
	for name in $(BENCHMARKS); do \
		$(BIN)/python -m pytest benchmarks/bench_$$name.py --benchmark-json _build/bench_$$name.json || exit 1; \
	done
	$(BIN)/python benchmarks/store.py $(BENCHMARKS:%=_build/bench_%.json)

# A GPU has a torch of its own, which the pins of $(VENV) would replace by a CPU build: take the Python
# that was asked for, or that of $(VENV) if its torch sees CUDA, or python3. Nothing is installed. The
# results are not below _build, which `make clean` empties.
OUT ?= results/gpu$(if $(REHEARSE),-rehearsal)
MINUTES ?= 9.5
WANTED := import sys, torch; sys.exit(not (torch.cuda.is_available() or "$(REHEARSE)"))

gpu:  ## all that needs a GPU, in ten minutes, into results/gpu (OUT=, MINUTES=); REHEARSE=1: tiny, without one
	@python="$(PYTHON)"; \
	if [ "$(origin PYTHON)" = file ] && $(BIN)/python -c '$(WANTED)' 2>/dev/null; then python=$(BIN)/python; fi; \
	exec "$$python" benchmarks/on_gpu.py --out "$(OUT)" --minutes $(MINUTES) $(if $(REHEARSE),--rehearse)

lint: $(READY)  ## style, types and the plan of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

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
