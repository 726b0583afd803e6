# make run and make test set everything up; make help lists what there is
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?= prior=embedded

.PHONY: help setup run test lint clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready  ## make the environment

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

run: $(VENV)/.ready  ## the main job on the embedded models; ARGS="seed=1" for another run
	@directory=$$($(BIN)/equidiff run $(ARGS)) && echo "pictures:" && ls $$directory/grid.png $$directory/samples/*.png

test: $(VENV)/.ready  ## all tests
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --durations=15

lint: $(VENV)/.ready  ## style, and the laws of the layout
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

clean:  ## remove the environment and what the tools leave behind
	rm -rf $(VENV) .pytest_cache .ruff_cache dist
