# Every target does all its own set-up: on a machine with python3 (>= 3.10) and make, `make demo` is the first command.
# The set-up goes into .venv and is not repeated until pyproject.toml, constraints.txt or this file change.

SHELL := bash
VENV := .venv
VIEWS := .venv-views
# Where a virtual environment keeps its programs. On Windows make runs in the bash that comes with git.
ifeq ($(OS),Windows_NT)
PROGRAMS := Scripts
EXE := .exe
else
PROGRAMS := bin
endif
BIN := $(VENV)/$(PROGRAMS)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Waiting threads sleep instead of spinning; Qt draws without a screen.
export OMP_WAIT_POLICY := passive
export GOMP_SPINCOUNT := 0
# numpy's BLAS spins as well: phantoms took 4 times as long beside a training.
export OPENBLAS_NUM_THREADS := 1
export QT_QPA_PLATFORM := offscreen
# Compiled files are kept whatever the shell says: else every Python that a test starts compiles the library anew.
unexport PYTHONDONTWRITEBYTECODE

SAM2 := sam2==1.1.0 --hash=sha256:7e0ea252d43c10d853e3acfce0b5770ac683c30481bd6de311300e9d44f45b74
SETUP_INPUTS := Makefile pyproject.toml constraints.txt

# Shared libraries that PySide6 and slicer-core load on Linux, and the Debian packages that bring them.
ifeq ($(shell uname),Linux)
SYSTEM_LIBRARIES := libGL.so.1 libEGL.so.1 libglib-2.0.so.0 libxkbcommon.so.0 libdbus-1.so.3 libfontconfig.so.1
endif
SYSTEM_PACKAGES := libgl1 libegl1 libglib2.0-0 libxkbcommon0 libdbus-1-3 libfontconfig1 fonts-dejavu-core

# Programs that slow tests hold ours against, and the Debian packages that bring them; without them those are skipped.
SLOW_PROGRAMS := dciodvfy Orthanc
SLOW_PACKAGES := dicom3tools orthanc orthanc-dicomweb

.PHONY: help demo test test-slow test-gpu lint lint-ruff lint-types lint-spelling fuzz bench evaluate stops screenshots starter ablation \
  tune docs setup clean

help:  ## these lines
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/ready  ## propagate an object through a drawn volume and write a picture (demo-output/)
	@$(BIN)/segment-propagate demo --out demo-output

# One process per core, each file in one of them (fixtures are shared within files), one thread in each process.
test: $(VENV)/ready-for-tests  ## all tests of every change, CPU only
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not gpu"

test-slow: $(VENV)/ready-for-slow-tests  ## full-size networks, long runs, a Ray cluster, and other programs where installed
	@missing=""; for program in $(SLOW_PROGRAMS); do \
	  PATH="$$PATH:/usr/sbin" command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -n "$$missing" ]; then echo "Missing programs:$$missing"; \
	  ( $(call install_packages,$(SLOW_PACKAGES)) ) || echo "Tests that need them are skipped"; fi
	@$(PIP) --no-build-isolation -e ".[ray]"
	@$(BIN)/python -m pytest -m "slow"

test-gpu: $(VENV)/ready-for-tests  ## that a CUDA GPU computes what a CPU computes
	@$(BIN)/python -m pytest -m "gpu"

lint: lint-ruff lint-types lint-spelling  ## ruff, mypy and codespell

lint-ruff: $(VENV)/ready-for-tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

lint-types: $(VENV)/ready-for-tests
	@$(BIN)/mypy

lint-spelling: $(VENV)/ready-for-tests
	@$(BIN)/codespell

fuzz: $(VENV)/ready-for-tests  ## damaged files and frames, guided by what they reach (inputs are kept in build/fuzz/)
	@$(PIP) --only-binary :all: atheris 2>/dev/null || true
	@$(BIN)/python Testing/Fuzz/fuzz.py

bench: $(VENV)/ready  ## speed and memory: a whole job from file to file, and the engine against the upstream predictor
	@$(BIN)/python Testing/Benchmarks/bench_job.py
	@$(BIN)/python Testing/Benchmarks/bench.py

evaluate: $(VENV)/ready  ## accuracy on real volumes, where they are at hand
	@$(BIN)/python Testing/Benchmarks/evaluate.py
	@$(BIN)/python Testing/Benchmarks/evaluate_together.py
	@$(BIN)/python Testing/Benchmarks/evaluate.py --prompts
	@$(BIN)/python Testing/Benchmarks/evaluate_suggest.py
	@$(BIN)/python Testing/Benchmarks/evaluate_draft.py

stops: $(VENV)/ready  ## what methods leave on slices without the object (.github/STOPS.md)
	@$(BIN)/python Testing/Benchmarks/stops.py

screenshots: $(VENV)/ready-for-tests $(VIEWS)/ready  ## the Slicer panel in its states, and a result in slice and 3-D views
	@$(BIN)/python Testing/Harness/tools/screenshot_panel.py Resources/Screenshots
	@$(BIN)/python Testing/Harness/tools/screenshot_effect.py Resources/Screenshots
	@$(BIN)/python Testing/Harness/tools/screenshot_views.py --views-python $(VIEWS)/$(PROGRAMS)/python Resources/Screenshots/views.png

starter: $(VENV)/ready  ## train the bundled model anew
	@$(BIN)/python -m SegmentPropagateLib.training.starter

PLAN ?= 2
ablation: $(VENV)/ready  ## which memory bank does what (PLAN=1 is the first experiment; a GPU or a night)
	@$(BIN)/python Testing/Experiments/ablation.py --plan $(PLAN)

tune: $(VENV)/ready  ## fit the tuned numbers again, on phantoms and on real volumes where they are at hand
	@for script in fit_stop_rule fit_partner fit_finishing fit_review measure_classical; do \
	  $(BIN)/python Testing/Experiments/$$script.py || exit; done

docs: $(VENV)/ready-for-docs  ## pages of the library's API from its docstrings (build/docs/)
	@$(BIN)/python Testing/Harness/tools/api_pages.py build/docs

setup: $(VENV)/ready-for-tests  ## only what the other targets set up for themselves

clean:  ## delete all that make has made
	rm -rf $(VENV) $(VIEWS) demo-output build *.egg-info

$(BIN)/python$(EXE):
	@python=""; for name in python3.12 python3.11 python3.10 python3 python; do \
	  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then echo "Python 3.10 or later is needed: install it and run make again." >&2; exit 2; fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	  package=$$($$python -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))'); \
	  $(call install_packages,$$package); fi; \
	echo "Setting up $(VENV) with $$($$python --version), a few minutes on first use"; \
	$$python -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

$(VENV)/ready: $(BIN)/python$(EXE) $(SETUP_INPUTS)
	@echo "Installing torch"
	@$(PIP) "setuptools>=77" wheel torch
	@echo "Installing the rest"
	@$(PIP) --no-build-isolation -e ".[sam2]"
	@echo "Installing sam2, checked by its SHA-256, without the torchvision that nothing here uses"
	@echo "$(SAM2)" > $(VENV)/sam2.txt
	@SAM2_BUILD_CUDA=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-build-isolation --no-deps --require-hashes -r $(VENV)/sam2.txt
	@touch $@

$(VENV)/ready-for-tests: $(VENV)/ready
	@missing=""; for library in $(SYSTEM_LIBRARIES); do \
	  $(BIN)/python -c "import ctypes; ctypes.CDLL('$$library')" 2>/dev/null || missing="$$missing $$library"; done; \
	if [ -n "$$missing" ]; then echo "Missing system libraries:$$missing"; \
	  $(call install_packages,$(SYSTEM_PACKAGES)); fi
	@echo "Installing what the tests need"
	@$(PIP) --no-build-isolation -e ".[sam2,test]"
	@touch $@

$(VENV)/ready-for-slow-tests: $(VENV)/ready-for-tests
	@echo "Installing what slow tests hold ours against"
	@$(PIP) --no-build-isolation -e ".[sam2,test,slow]"
	@touch $@

$(VENV)/ready-for-docs: $(VENV)/ready
	@echo "Installing what the pages need"
	@$(PIP) --no-build-isolation -e ".[sam2,docs]"
	@touch $@

$(VIEWS)/ready: Testing/Harness/tools/requirements-views.txt | $(VENV)/ready-for-tests
	@echo "Installing what renders slice and 3-D views, into $(VIEWS)"
	@$(BIN)/python -m venv --clear $(VIEWS)
	@$(VIEWS)/$(PROGRAMS)/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# As root on Debian and Ubuntu install the packages, else name the one command that does.
define install_packages
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  echo "Installing $(1)"; \
  { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(1); } \
    >/dev/null || exit 2; \
else echo "Run this and then make again: sudo apt-get install -y $(1)" >&2; exit 2; fi
endef
