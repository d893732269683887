# What a person types. `make` alone says what there is.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# cargo takes all cores itself, and two builds would race for one binary.
.NOTPARALLEL:

FUNCTIONS := scorer batch-predictor retrainer
# Always the same packages together: cargo would build the dependencies again for another selection.
RELEASE := cargo build --release --locked $(addprefix -p ,$(FUNCTIONS)) -p tripcast
TEST := cargo test --workspace --locked
LOCAL_AWS := python3 infra/local/local_aws.py
# The tests' own local AWS, beside one that you may have up.
E2E_PORT ?= 4576

.PHONY: help
help: ## Say what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

.PHONY: demo
demo: build ## See the whole system once on this machine: trips in, predictions out
	@python3 infra/local/demo.py

.PHONY: test
test: lint unit e2e ## The gate: format, clippy, unit tests, one release build, end to end on it

.PHONY: verify
verify: test determinism test-mlflow ## The gate and the longer proofs, before an issue is closed

.PHONY: determinism
determinism: build ## The same inputs give the same models: in a hundred processes, on any number of threads
	$(TEST) --test system -- determinism::

.PHONY: test-mlflow
test-mlflow: build ## What the retrainer logs, on a real MLflow server, read back by its own client
	python3 tools/mlflow/check.py

.PHONY: replay
replay: build ## 2023-01 to 2024-10 month by month, as the schedule would have lived it (TRIPS_DIR; half an hour)
	target/release/tripcast replay --trips "$${TRIPS_DIR:-../shared/data}" --from 2023-01 --to 2024-10 --compare

.PHONY: build
build: ## Build the release binaries and the functions' packages (target/lambda)
	$(RELEASE)
	@python3 infra/package.py $(FUNCTIONS)

.PHONY: probe
probe: ## Build the scorer that panics on demand, for the tests of what a panic costs
	@mkdir -p target/probe
	$(RELEASE) --features scorer/panic-probe --bin scorer
	@cp target/release/scorer target/probe/scorer

.PHONY: lint
lint: ## Check format and clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: unit
unit: venv ## Unit tests, contracts between files, golden numbers on real months
	$(TEST) -- --skip bootstraps:: --skip terminal:: --skip end_to_end:: --skip determinism::

.PHONY: e2e
e2e: venv probe build ## The built functions: under a double of Lambda, and on a local AWS of the tests' own
	@trap 'LOCAL_AWS_PORT=$(E2E_PORT) $(LOCAL_AWS) down' EXIT; \
	LOCAL_AWS_PORT=$(E2E_PORT) $(LOCAL_AWS) up; \
	LOCAL_AWS_PORT=$(E2E_PORT) $(TEST) --test system -- bootstraps:: terminal:: end_to_end:: --nocapture

.PHONY: bench
bench: ## Measure training, scoring and explaining, against the last time this was run
	cargo bench --locked -p trees --bench trees

.PHONY: bench-peers
bench-peers: ## Measure training and scoring beside LightGBM, XGBoost and others (writes docs/BENCHMARKS.md)
	cargo build --release --locked -p trees --example bench
	python3 tools/bench_peers/peers.py

.PHONY: venv
venv: ## Install the local AWS (once)
	@$(LOCAL_AWS) install

.PHONY: up
up: ## Start the local AWS (LOCAL_AWS_PORT, default 4566)
	@$(LOCAL_AWS) up

.PHONY: deploy
deploy: build ## Deploy template.yaml to the local AWS
	@$(LOCAL_AWS) deploy

.PHONY: down
down: ## Stop the local AWS
	@$(LOCAL_AWS) down

.PHONY: clean
clean: ## Remove what was built
	cargo clean
