# make demo   runs the main workflow on the demo models and prints the image's path
# make test   passes the tests
# make lint   ruff, pyright and the layering rules
# Everything is set up in .venv on first use. No GPU is needed.

PYTHON ?= python3
VENV ?= .venv
OUTPUT ?= output
# For example PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu" for PyTorch without CUDA.
PIP_FLAGS ?=
WORKERS ?= 2
FACES ?= 12000
# For example TRAIN_FLAGS=total_kimg=1, to see all stages run in minutes.
TRAIN_FLAGS ?=

BIN := $(VENV)/bin
INPUTS := pyproject.toml constraints.txt

.PHONY: help demo test lint train-demo clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(VENV)/installed
	@echo "Running workflows/quickstart.json ..."
	@$(BIN)/ganvas run workflows/quickstart.json --output-dir $(OUTPUT)

test: $(VENV)/installed-test
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_architecture.py

# How the demo models were made: well over an hour on two CPU cores. Each stage starts from the one before; Ctrl-C
# and another `make train-demo` go on where it stopped.
train-demo: $(VENV)/installed runs/faces-64.zip runs/heldout-64.zip
	$(BIN)/ganvas train stylegan2-faces-16 --data runs/faces-64.zip --outdir runs/faces-16 $(TRAIN_FLAGS)
	$(BIN)/ganvas train stylegan2-faces-32 --data runs/faces-64.zip --outdir runs/faces-32 init=runs/faces-16 $(TRAIN_FLAGS)
	$(BIN)/ganvas train stylegan2-faces-64 --data runs/faces-64.zip --outdir runs/faces-64 init=runs/faces-32 $(TRAIN_FLAGS)
	$(BIN)/ganvas train restore-unet --data runs/faces-64.zip --outdir runs/restore $(TRAIN_FLAGS)
	$(BIN)/python -m ganvas.training.face_features runs/face-features.safetensors --data runs/faces-64.zip \
	  --real runs/heldout-64.zip

runs/faces-64.zip: | $(VENV)/installed
	$(BIN)/ganvas faces --count $(FACES) --size 64 --seed 0 --workers $(WORKERS) --out $@

runs/heldout-64.zip: | $(VENV)/installed
	$(BIN)/ganvas faces --count 2000 --size 64 --seed 1 --workers $(WORKERS) --out $@

clean:
	rm -rf $(VENV) build ganvas.egg-info .pytest_cache .ruff_cache

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "ganvas needs Python 3.10 or newer, and '$(PYTHON)' was not found;" \
	       "install it or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "ganvas needs Python 3.10 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1);" \
	       "name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python cannot make virtual environments;" \
	       "on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(INPUTS) | $(BIN)/python
	@echo "Installing ganvas and PyTorch into $(VENV) (once) ..."
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "Installing the test tools into $(VENV) (once) ..."
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[test]'
	@touch $@
