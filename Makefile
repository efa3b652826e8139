# Everything runs in .venv, made on first use. Needs python3 >= 3.10 with venv, and g++ or clang++.
TORCH ?= torch>=2.10
PYTHON ?= python3
VENV ?= .venv
ARGS ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check
# The stamp carries the torch requirement, so another TORCH= installs again.
STAMP := $(VENV)/dev-$(shell printf '%s' '$(TORCH)' | tr -c 'A-Za-z0-9.' '_')
CXX_SOURCES = $(shell find csrc tests benchmarks -name '*.h' -o -name '*.cpp' -o -name '*.cu')

export PATH := $(abspath $(VENV))/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help dev peers build test demo bench docs wheel lint format stubs asan soak abuse plants clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo "Variables: TORCH='$(TORCH)' PYTHON=$(PYTHON) VENV=$(VENV); ARGS='...' is passed to demo, bench, soak, abuse, plants and pytest."

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "fastloss needs Python >= 3.10, $(PYTHON) is " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV) || { echo "make: $(PYTHON) cannot create $(VENV); on Debian install python3-venv" >&2; rm -rf $(VENV); exit 1; }

# The extension is compiled before pip installs the package, for pip hides the compiler; pip then only links again.
$(STAMP): setup.py pyproject.toml | $(PY)
	@rm -f $(VENV)/dev-*
	@echo "[1/3] $(TORCH) and what builds extensions, into $(VENV). A torch for CUDA is some 3 GB to download and 6 GB on disk;"
	@echo "      pip is silent for a minute or two while it unpacks."
	@$(PIP) "setuptools>=77" ninja "pybind11>=2.13" "$(TORCH)"
	@echo "[2/3] The extension, for a minute or two."
	@$(PY) setup.py --quiet build_ext --inplace
	@echo "[3/3] The tools (some 100 MB), and fastloss itself as it lies here."
	@$(PIP) --no-build-isolation -e ".[bench,dev]"
	@touch $@

dev: $(STAMP) ## make .venv and install torch, the tools and fastloss (editable)
	@:

# Those that ask for torchvision come without what they ask for: the tests load their losses alone, and torchvision has no
# build for every torch.
PEERS := $(VENV)/peers
$(PEERS): Makefile | $(STAMP)
	@$(PIP) pytorch-metric-learning==2.9.0
	@$(PIP) --no-deps open_clip_torch==3.3.0 lightly==1.6.0 monai==1.6.1
	@touch $@

peers: $(PEERS) ## install the libraries whose losses the tests compare ours with
	@:

build: dev ## compile what changed in csrc
	@$(PY) setup.py --quiet build_ext --inplace

# Files of tests go to two processes, of two threads each: a test is Python most of the time, and idle threads sleep. Not the
# file with most tests first: those that compile have few.
WORKERS ?= 2
test: build ## run the test suite
	@$(PY) -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

demo: build ## train a small language model with native and fused cross-entropy (about two minutes)
	@$(PY) -m benchmarks.demo $(ARGS)

bench: build ## benchmark against native eager and torch.compile
	@$(PY) -m benchmarks.harness $(ARGS)

# The site's tools are another 60 MB, which nothing else needs.
DOCS := $(VENV)/docs
$(DOCS): pyproject.toml | $(STAMP)
	@$(PIP) --no-build-isolation -e ".[docs]"
	@touch $@

docs: build $(DOCS) ## build the site in site/ from docs/ and the docstrings; a warning or a dead link is an error
	@$(PY) docs/make.py

wheel: dev ## the source distribution and the wheels in dist/, repaired, checked and tested (ARGS="--python python3.12")
	@$(PY) wheels/make.py $(ARGS)

lint: dev ## ruff, mypy, clang-format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m mypy fastloss/__init__.py fastloss/*/__init__.py  # which stubs hide
	@$(VENV)/bin/clang-format --dry-run -Werror $(CXX_SOURCES)

format: dev ## lay out Python and C++ and apply safe fixes
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .
	@$(VENV)/bin/clang-format -i $(CXX_SOURCES)

stubs: build ## write the type stubs (fastloss/**/__init__.pyi) and the README's list of losses
	@PYTHONPATH=. $(PY) tests/stubs.py

asan: dev ## run the kernel tests under the address and undefined-behaviour sanitizers
	@$(PY) tests/asan.py

soak: build ## draw 200,000 calls of every function and compare them with float64 (ARGS="--cases 20000 --seed 1")
	@$(PY) tests/soak.py $(ARGS)

abuse: build ## random arguments to every operator under the sanitizers (ARGS="--calls 1000")
	@$(PY) tests/abuse.py $(ARGS)

plants: build ## plant faults in the shells, one by one, and ask whether a test fails (a quarter of an hour)
	@$(PY) tests/plants.py $(ARGS)

clean: ## remove build outputs and caches (keeps .venv)
	@rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache fastloss/*.so fastloss-demo.png
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
