# Needs Python 3.11 or 3.12 with venv and pip, git and make. Everything else comes from the package index.
# A private index is one setting: export UV_DEFAULT_INDEX and PIP_INDEX_URL, or write them into uv's and pip's own files.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
UV_VERSION := 0.13.9
UV := .tools/bin/uv
PY := .venv/bin/python
PY312 := .venvs/py312/bin/python
# Looked up when the 3.12 leg runs; PYENV_VERSION lets pyenv's stand-ins answer where pyenv is installed.
PYTHON312 ?= $(shell PYENV_VERSION=3.12 $(UV) python find 3.12 --system --no-python-downloads 2>/dev/null)
DATA ?=
ENVIRONMENTS := pipelines serving mlserver seldon alibi deploy
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test312 e2e control-plane lint type api bench docs build lock format clean export

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 15

$(UV):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else f"Python 3.11 or 3.12 needed, $(PYTHON) is {v[0]}.{v[1]}. Fix: make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.synced: requirements/dev.txt pyproject.toml | $(UV)
	@echo "== creating .venv from requirements/dev.txt (a minute on a fresh machine, seconds later)"
	@test -x $(PY) || $(UV) venv --quiet --python $(PYTHON) --no-python-downloads .venv
	@$(UV) pip sync --quiet --python $(PY) --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(PY) --no-deps --editable .
	@touch $@

setup: .venv/.synced ## create .venv

demo: setup ## the main job on embedded defaults: new repo, training, champion, batch, service, load test; DATA=FILE uses your own
	@$(PY) examples/demo.py $(if $(DATA),--data "$(DATA)")

lint: setup
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && .venv/bin/lint-imports

type: setup
	@$(PY) -m mypy

api: setup ## hooks and public names against the last tag: a change wants a major version or its line in CHANGELOG.md
	@$(PY) .ci/api_gate.py $(BASE)

test: setup lint type api ## lint, types, hooks, tests; on 3.12 too, what a version can change; its last line says where there is no 3.12
	@$(PY) -m pytest -q -n 2 --dist loadfile
	@$(MAKE) --no-print-directory test312

.venvs/py312/.synced: requirements/dev.txt pyproject.toml | $(UV)
	@echo "== creating .venvs/py312 from requirements/dev.txt"
	@test -x $(PY312) || $(UV) venv --quiet --python $(PYTHON312) --no-python-downloads .venvs/py312
	@$(UV) pip sync --quiet --python $(PY312) --require-hashes requirements/dev.txt
	@$(UV) pip install --quiet --python $(PY312) --no-deps --editable .
	@touch $@

FAST312 := tests/contract tests/unit/core tests/unit/config tests/unit/data tests/unit/scaffold tests/unit/serving
test312: setup ## what a Python version can change, the slow tests left out, on 3.12 where uv finds one; all of it: make test312 FAST312=tests
	@test ! -x "$(PYTHON312)" || $(MAKE) --no-print-directory .venvs/py312/.synced
	@if test -x "$(PYTHON312)"; then echo "== tests on Python 3.12" && \
	  PATH="$(CURDIR)/.venvs/py312/bin:$$PATH" $(PY312) -m pytest -q -n 2 --dist loadfile -m 'not e2e and not slow' $(FAST312); \
	else echo "no Python 3.12 found: the 3.12 leg is skipped"; fi

e2e: setup ## what takes minutes or real servers
	@$(PY) -m pytest -q -m e2e

control-plane: ## what the cluster tests of `make e2e` need, into a cache outside the repo; half an hour cold
	@tests/control_plane/build.sh

bench: setup ## the benchmark table of docs/benchmarks.md
	@$(PY) benchmarks/run.py

docs: setup ## build the documentation into site/
	@.venv/bin/mkdocs build --strict

build: setup ## sdist, and the wheel from it, into dist/
	@$(UV) build --quiet

lock: $(UV) ## resolve again and export one hashed file per environment
	@$(UV) lock --upgrade --quiet --python $(PYTHON)
	@$(MAKE) --no-print-directory export

export: $(UV)
	@for e in $(ENVIRONMENTS); do $(UV) export --quiet --frozen --extra $$e --no-default-groups --no-emit-project --no-header -o requirements/$$e.txt; done
	@$(UV) export --quiet --frozen --extra pipelines --extra serving --extra deploy --group dev --no-emit-project --no-header -o requirements/dev.txt
	@$(UV) export --quiet --frozen --extra pipelines --extra deploy --no-default-groups --group repo --no-emit-project --no-header -o requirements/repo.txt

format: setup
	@$(PY) -m ruff check --fix-only --quiet . ; $(PY) -m ruff format --quiet .

clean: ## remove what the targets made
	rm -rf .venv .venvs .tools .demo dist site
