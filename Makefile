# Two commands do everything on a fresh machine: make demo, make test.
# Each sets up what it needs first; only set-up downloads anything.

SHELL := /bin/sh
BIN := .venv/bin
CATALOG ?=
DEMO_OPTIONS ?=
TENSORRT_TOOL ?= ../shared/tools/tensorrt_on_cpu

.PHONY: help demo test serve lint format setup api locks clean tensorrt-check gpu-check experiments

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: setup ## Everything once: shop, training, export, index, serving, evaluation (CATALOG=dir for yours)
	$(BIN)/vitrine demo $(if $(CATALOG),--catalog $(CATALOG)) $(DEMO_OPTIONS)

test: setup ## All tests: unit, services with the real Triton and cache server, TensorRT's builder
	@TENSORRT_TOOL="$(TENSORRT_TOOL)" $(BIN)/python scripts/tensorrt_check.py --prepare
	TENSORRT_TOOL="$(TENSORRT_TOOL)" $(BIN)/python -m pytest

serve: setup ## The same stack on the active release, until Ctrl-C
	$(BIN)/vitrine serve

tensorrt-check: setup ## Build every tower in every precision with TensorRT, no GPU needed (TENSORRT_TOOL=dir)
	TENSORRT_TOOL="$(TENSORRT_TOOL)" $(BIN)/python scripts/tensorrt_check.py

gpu-check: setup ## Measure this machine's GPU (docs/gpu.md); skipped where there is none
	$(BIN)/python -m benchmarks.gpu_check $(GPU_OPTIONS)

experiments: setup ## What the four systems claim, measured; goes on where it was stopped (ROWS=A1,B3 SEEDS=5 BUDGET=minutes DATA=dir QUICK=1)
	@$(BIN)/python -m benchmarks.experiments $(if $(ROWS),--rows $(ROWS)) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(BUDGET),--budget $(BUDGET)) $(if $(DATA),--data $(DATA)) $(if $(QUICK),--quick)

lint: setup ## ruff, mypy --strict, and that generated code is current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=model_repository/runner $(BIN)/mypy model_repository/runner/model.py
	MYPYPATH=. $(BIN)/mypy docker/*.py scripts/*.py
	$(BIN)/python scripts/generate_api.py --check

format: setup ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: ## Make the two environments (.venv, .venv-triton); instant when they are current
	@scripts/setup.sh

api: setup ## Generate the gRPC code from the .proto files
	$(BIN)/python scripts/generate_api.py

locks: setup ## Compile the locks from pyproject.toml
	$(BIN)/python -m pip install --quiet pip-tools
	scripts/lock.sh

clean: ## Remove everything that runs make, but not the environments
	rm -rf var model_repository/query_tower model_repository/product_tower
