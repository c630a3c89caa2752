# Everything happens in .venv. Nothing here needs to be typed before anything else:
# `make demo` and `make test` do their own set-up, and do it again only when it changed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test test-faults results check format clean

demo: $(STAMP)
	$(BIN)/raymoco sweep sweeps/demo.yaml --resume

# two processes, each with a Ray head of its own; says the coverage, and fails below its bound
test: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder --cov

# something is killed, hangs or is cut off: the quick ones are in `make test` too
test-faults: $(STAMP)
	$(BIN)/python -m pytest tests/faults

# the tables of docs/findings.md: all parts, or PART=ladder; QUICK=1 is a try-out, about a minute a sweep
results: $(STAMP)
	$(BIN)/python -m benchmarks.findings $(PART) $(if $(QUICK),--quick)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "raymoco needs Python 3.11 or newer; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): a few minutes the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
