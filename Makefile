# `make demo` and `make test` do all set-up by themselves, in .venv; running them again installs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CPU_INDEX := https://download.pytorch.org/whl/cpu
OLDEST := .venv-oldest
OLDEST_DUCKDB := $(shell sed -n 's/.*"duckdb>=\([0-9.]*\),.*/\1/p' pyproject.toml)

.PHONY: demo notebooks notebooks-check test test-oldest lint check docs images clean

demo: $(VENV)/.installed
	$(BIN)/superact demo

# What the notebooks show of the demo: written into them, or, by the check, nowhere.
notebooks: $(VENV)/.installed
	$(BIN)/python notebooks/run.py

notebooks-check: $(VENV)/.installed
	$(BIN)/python notebooks/run.py --check

test: $(VENV)/.installed
	$(BIN)/superact models prepare --quiet
	$(BIN)/python -m pytest

# The same SQL on the oldest DuckDB that pyproject.toml allows, in an environment without torch.
test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest tests/test_bootstrap.py tests/test_metrics_*.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

docs: $(VENV)/.installed
	$(BIN)/python -m superact.cli.reference > docs/cli.md
	$(BIN)/python -m superact.cli.schema_reference > docs/tables.md
	$(BIN)/python -m superact.cli.metric_reference docs/metrics

# torch comes first and alone: the CPU index is asked for nothing else, and may be out of reach when the wheel is at hand.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "superact needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --no-deps --retries 1 --extra-index-url $(CPU_INDEX) -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e '.[extract,local-models,notebooks,browser-test,test]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	touch $@

$(OLDEST)/.installed: pyproject.toml constraints.txt
	test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	sed '/^duckdb==/d' constraints.txt > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip --disable-pip-version-check install --quiet -c $(OLDEST)/constraints.txt \
		-e '.[test]' scikit-learn duckdb==$(OLDEST_DUCKDB)
	touch $@

# The figures that the README shows, of what `make demo` leaves.
images: demo
	$(BIN)/superact plot activation_distributions --dataset clevr-mini --concept-set linsep --label color::blue \
		--label shape::sphere --out docs/images/activation-distributions.png
	$(BIN)/superact plot image_concepts --dataset clevr-mini --concept-set linsep --sample 73 --scale 1.5 \
		--out docs/images/image-concepts.png
	$(BIN)/superact plot text_concepts --dataset sarcasm-mini --model minilm --concept-set linsep --layer 3 \
		--sample 218 --sample 156 --out docs/images/text-concepts.png

clean:
	rm -rf $(VENV) $(OLDEST) build *.egg-info
