# Every target sets up what it needs on a machine that has only Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# One thread a worker: the toy models are too small for more, and two workers fill two cores.
THREADS := OMP_NUM_THREADS=1

# Before Python 3.13 mistral-common asks for numpy < 2.4, which would hold back all that is pinned;
# with the pinned numpy its tests pass. The others are what it needs beside what is installed.
MISTRAL := mistral-common==1.13.1 tiktoken==0.14.0 pydantic-extra-types==2.11.1 pycountry==26.2.16

.PHONY: setup demo test real lint check constraints clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'omnitrace: Python 3.11 or newer is needed; say which one: make PYTHON=python3.12'; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[all]' --group dev
	$(BIN)/python -m pip install --quiet --no-deps $(MISTRAL)
	@touch $(READY)

demo: $(READY)
	$(BIN)/omnitrace demo

test: $(READY)
	$(THREADS) $(BIN)/python -m pytest -n 2 --dist loadfile

# The tests marked `real`: released models, whose weights come from the package index. The benchmark
# on the same models is apart: `python -m benchmarks.real_runs`, then `python -m benchmarks.real`.
real: $(READY)
	$(THREADS) TQDM_DISABLE=1 $(BIN)/python -m tests.real.checkpoints .real
	$(THREADS) $(BIN)/python -m pytest -m real tests/real

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

check: lint test

# Pins every version for every platform; the resolver leaves no index address in the file.
constraints: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 pyproject.toml --extra all \
		--group dev --no-emit-index-url --no-annotate --no-header -o constraints.txt

clean:
	rm -rf .venv .real build dist *.egg-info
