# One word a chore; each sets up its environment first, where it is missing or out of date.
#
#   make demo    pre-train on built-in data and write work_dirs/demo/report.html
#   make test    run the test suite (STACK=openmmlab: on the official packages; JOBS=2 processes)
#   make slow    the tests that take minutes
#   make faults  faults that real runs meet, injected; hours, into work_dirs/faults
#   make bench   speed and memory beside other methods and libraries, into work_dirs/bench
#   make bench-gpu  what only a GPU can measure, in ten minutes, into work_dirs/bench/gpu.json
#   make docs    the site, into work_dirs/site
#   make lint    style, spelling and types
#   make lock    resolve requirements/*.txt anew

STACK ?= onedl
JOBS ?= 2
# The first CPython that the project supports.
PYTHON ?= $(firstword $(foreach python,python3 python3.11 python3.12 python3.10 python,\
	$(shell $(python) -c 'import sys; (3, 10) <= sys.version_info[:2] <= (3, 12) and print("$(python)")' \
	2>/dev/null)) python3)

VENV := $(if $(filter openmmlab,$(STACK)),.venv-openmmlab,.venv)
BIN := $(VENV)/bin

.PHONY: demo test slow faults bench bench-gpu docs lint lock setup

demo: setup
	@$(BIN)/python tools/demo.py

# A process a core: a test's tensors are small, and threads would wait for each other.
test: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not slow and not gpu' -n $(JOBS) --dist worksteal

slow: setup
	@$(BIN)/python -m pytest -m slow

faults: setup
	@for fault in kill disk ranks machines images numbers checkpoints ops length; do \
		$(BIN)/python -m tests.faults.$$fault --out work_dirs/faults/faults_$$fault.json || failed=1; \
	done; test -z "$$failed"

bench: setup
	@$(BIN)/python -m benchmarks.wavelets
	@$(BIN)/python -m benchmarks.frequencies
	@$(BIN)/python -m benchmarks.data
	@$(BIN)/python -m benchmarks.shards
	@$(BIN)/python -m benchmarks.inputs
	@$(BIN)/python -m benchmarks.geometry
	@$(BIN)/python -m benchmarks.groups
	@$(BIN)/python -m benchmarks.saving
	@$(BIN)/python -m benchmarks.pretrain
	@$(BIN)/python -m benchmarks.memory
	@$(BIN)/python -m benchmarks.scaling

bench-gpu: setup
	@$(BIN)/python -m benchmarks.gpu

docs: setup
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/codespell
	@$(BIN)/mypy

setup:
	@$(PYTHON) tools/setup_env.py --stack $(STACK) --venv $(VENV)

lock: setup
	@for stack in onedl openmmlab; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --upgrade \
			--no-emit-index-url --no-annotate --no-header \
			--override requirements/overrides.in requirements/$$stack.in \
			| grep -v "never" > requirements/$$stack.txt.new \
		&& mv requirements/$$stack.txt.new requirements/$$stack.txt; \
	done
