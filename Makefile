# `make demo` and `make test` need python3 (3.10 or newer), make and g++; all else they fetch.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help venv demo test hardening quick handouts openapi faults soak power-cuts fuzz corpus captures gpu-check gpu-check-kit bench lint format clean

help:
	@echo "make demo   everything from nothing to a CUDA program's output, then stopped again"
	@echo "make test   the test suite, on both databases (8 minutes on 2 cores)"
	@echo "make hardening its other part: attacks, faults, power cuts, random requests, hosts and GPUs at work (10 minutes)"
	@echo "make quick  the tests that start no processes, on SQLite (under a minute)"
	@echo "make faults the fault matrix at length, on both databases (15 minutes)"
	@echo "make soak   all faults at random, MINUTES=30 on each database"
	@echo "make power-cuts what a disk may hold when the power fails, CUTS=5000 times"
	@echo "make fuzz   the API under requests made from its own schema, EXAMPLES=300 of each kind"
	@echo "make corpus hostile programs, what became of each, in a table"
	@echo "make captures pictures of terminals and of the student's page, made of a running system (6 minutes)"
	@echo "make gpu-check whether this GPU host is fit for service, in one table (docs/gpu-hosts.md)"
	@echo "make gpu-check-kit what that needs, packed for a host that reaches no network, HOST_PYTHON=3.12"
	@echo "make bench  how fast it is, each figure beside a floor (docs/performance.md)"
	@echo "make handouts executor.py and submit.py, from their sources in handouts/"
	@echo "make openapi the API's document, from the code, as it is served and committed"
	@echo "make venv   the server's packages, in $(VENV)"
	@echo "make lint   ruff"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "The server needs Python 3.10 or newer; say make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python cannot make virtual environments here (on Debian: apt install python3-venv)"; exit 1; }

$(VENV)/server: requirements.txt | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/tests: requirements-dev.txt requirements.txt | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ $(VENV)/server

# nvcc: the machine's own, else NVIDIA's wheels inside the virtual environment.
$(VENV)/nvcc: requirements-nvcc.txt | $(BIN)/python
	@if command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null; then :; else \
	  echo "No nvcc here; fetching NVIDIA's compiler wheels (126 MB) into $(VENV)" >&2; \
	  $(BIN)/pip install --quiet --disable-pip-version-check -r requirements-nvcc.txt >&2 && \
	  ls $(CURDIR)/$(VENV)/lib/python3*/site-packages/nvidia/cu*/bin/nvcc; fi > $@.part
	@mv $@.part $@

# What labs are linked with: the tests try both the machine's own toolkit and NVIDIA's wheels.
$(VENV)/toolkit: requirements-toolkit.txt requirements-nvcc.txt | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-toolkit.txt
	@touch $@

venv: $(VENV)/server

demo: $(VENV)/server $(VENV)/nvcc
	@NVCC="$$(cat $(VENV)/nvcc)" $(BIN)/python examples/demo.py

# More than there are cores: most tests wait for processes most of the time.
AT_ONCE ?= 5

# Else each process would compile all tests anew.
test hardening quick: export PYTHONDONTWRITEBYTECODE :=
test: TESTS := not hardening
hardening: TESTS := hardening
test hardening: $(VENV)/tests $(VENV)/nvcc $(VENV)/toolkit
	NVCC="$$(cat $(VENV)/nvcc)" $(BIN)/python -m pytest -n $(AT_ONCE) -m "$(TESTS)"
	NVCC="$$(cat $(VENV)/nvcc)" TELERUN_TEST_DATABASE=postgresql $(BIN)/python -m pytest -n $(AT_ONCE) -m "$(TESTS) and not once"

quick: $(VENV)/tests
	$(BIN)/python -m pytest -m "not processes and not hardening" -n 2

handouts:
	$(PYTHON) handouts/build.py

openapi: $(VENV)/tests
	TELERUN_DATA_DIR="$$(mktemp -d)" $(BIN)/python manage.py spectacular --validate --fail-on-warn \
	  --format openapi-json --file telerun_site/openapi.json

bench: $(VENV)/tests
	$(BIN)/python -m bench
	$(BIN)/python -m bench --database postgresql

# FAULTS holds more arguments, such as FAULTS="--rows 1,4 --database sqlite".
faults: $(VENV)/tests $(VENV)/nvcc
	NVCC="$$(cat $(VENV)/nvcc)" $(BIN)/python -m tests.faults $(FAULTS)

EXAMPLES ?= 300
fuzz: $(VENV)/tests
	TELERUN_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -s tests/test_fuzz.py

CUTS ?= 5000
power-cuts: $(VENV)/tests
	TELERUN_POWER_CUTS=$(CUTS) $(BIN)/python -m pytest -s tests/test_power_cuts.py

MINUTES ?= 30
soak: $(VENV)/tests $(VENV)/nvcc
	NVCC="$$(cat $(VENV)/nvcc)" $(BIN)/python -m tests.faults --soak $(MINUTES) $(FAULTS)

$(VENV)/gpu-check: requirements-gpu-check.txt | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-gpu-check.txt
	@touch $@

# CHECKS holds more arguments, such as CHECKS="--only memory". With KIT, which `make gpu-check-kit`
# made, nothing is fetched: the host needs make, python3, nvcc, g++ and bubblewrap.
ifdef KIT
gpu-check:
	mkdir -p build/kit && tar -C build/kit -xzf $(KIT)
	-$(PYTHON) -m compileall -q -j 0 build/kit
	PYTHONPATH="$(CURDIR)/build/kit" $(PYTHON) -m tests.gpu_check $(CHECKS)
else
gpu-check: $(VENV)/gpu-check $(VENV)/nvcc
	NVCC="$$(cat $(VENV)/nvcc)" $(BIN)/python -m tests.gpu_check $(CHECKS)
endif

# For the minor version of Python that the host has; its processor must be of this machine's kind.
HOST_PYTHON ?= $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
gpu-check-kit: | $(BIN)/python
	rm -rf build/kit
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --target build/kit \
	  --python-version $(HOST_PYTHON) --only-binary=:all: -r requirements-gpu-check.txt
	tar -C build/kit -czf build/gpu-check-kit.tar.gz .
	rm -rf build/kit
	@ls -l build/gpu-check-kit.tar.gz

CORPUS ?= corpus.md
corpus: $(VENV)/tests $(VENV)/nvcc
	rm -f $(CORPUS)
	NVCC="$$(cat $(VENV)/nvcc)" TELERUN_CORPUS_TABLE=$(CORPUS) $(BIN)/python -m pytest tests/test_hostile.py
	@cat $(CORPUS)

# CAPTURES holds more arguments: names of some, or --keep, which renews docs/images.
captures: $(VENV)/tests $(VENV)/nvcc
	NVCC="$$(cat $(VENV)/nvcc)" $(BIN)/python -m tests.captures $(CAPTURES)

lint: $(VENV)/tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
