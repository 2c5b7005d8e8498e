# demo, test, check, bench and soak each make the environment they need; nothing has to be installed beforehand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PARALLEL := -n auto --dist worksteal

.PHONY: demo test check bench bench-peers soak format clean

demo: $(READY)
	@$(BIN)/fengsui-sim demo

test: $(READY)
	@$(BIN)/python tests/need_tools.py
	@$(BIN)/python -m pytest $(PARALLEL)

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(READY)
	@$(BIN)/python tests/need_tools.py
	@$(BIN)/python -m tests.bench

bench-peers: $(READY)
	@$(BIN)/python tests/need_tools.py
	@$(BIN)/python -m tests.bench --peers

soak: $(READY)
	@$(BIN)/python tests/need_tools.py
	@$(BIN)/python -m pytest $(PARALLEL) -m soak

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(READY): pyproject.toml deploy/make_venv.sh
	@sh deploy/make_venv.sh $(PYTHON) $(VENV)
	@touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
