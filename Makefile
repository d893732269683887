# Entry points for developers and CI. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# cargo uses all cores itself, and two builds at once would overwrite the same binary.
.NOTPARALLEL:

# Names of the functions, which are also the names of their folders, crates and binaries.
FUNCTIONS := $(notdir $(patsubst %/,%,$(wildcard functions/*/)))
# Lambda's name for this machine's architecture.
HOST := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
# The record of every retraining contains the revision; tests are built without it, so that a commit does not
# recompile them. All packages are built together: for another selection cargo would build the dependencies again.
REVISION := $(shell git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null)
RELEASE := $(if $(REVISION),TRIPCAST_REVISION=$(REVISION)) cargo build --release --locked $(addprefix -p ,$(FUNCTIONS)) -p tripcast
TEST := cargo test --workspace --locked
LOCAL_AWS := python3 infra/local/local_aws.py
# Port of the tests' own local AWS, beside one that may be running; it uses the next port too. Free ports if empty.
E2E_PORT ?=
# File that lists what a run could not do on this machine.
export NOT_RUN_LIST := $(CURDIR)/target/not-run.tsv
# For the end-to-end tests: the folder of packages (<function>/bootstrap.zip), and the tool that deploys them.
PACKAGES ?= target/local
DEPLOY_WITH ?= sam
# Stage of a deployment: dev or prod.
STAGE ?= dev

.PHONY: help
help: ## Say what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: demo
demo: local ## See the whole system once on this machine: trips in, predictions out
	@python3 infra/local/demo.py

.PHONY: test
test: not-run-begin lint lint-infra unit e2e bare-clone not-run-end ## The gate: format, linters, unit tests, one release build, end to end on it

.PHONY: not-run-begin not-run-end
not-run-begin not-run-end: not-run-%:
	@python3 tools/not_run.py $*

.PHONY: doctor
doctor: ## Say what this machine has, and what will not run for want of the rest
	@python3 tools/doctor.py

.PHONY: bare-clone
bare-clone: local ## Prove that a clone of HEAD is enough by itself: `make demo` in an empty folder, without a network
	python3 tools/bare_clone.py

.PHONY: months
months: local ## Fetch the whole months that golden figures are about from the TLC (to TRIPS_DIR, else trips; 53 MB)
	target/release/tripcast data fetch --to "$${TRIPS_DIR:-trips}" \
	  $$(sed -n 's/.*green_tripdata_\(.*\)\.parquet/--month \1/p' tests/fixtures/whole-months.sha256)

.PHONY: verify
verify: test determinism chaos hostile test-card test-monitor test-web test-sql test-compared test-neighbours test-extending test-clients test-mlflow build test-arm64 test-rie images ## The gate and the longer proofs, before an issue is closed
	$(MAKE) e2e-only PACKAGES=target/lambda/$(HOST)
	$(MAKE) reproduce
	$(MAKE) sam-build e2e-only PACKAGES=target/sam
	$(MAKE) sam-local
	$(MAKE) e2e-only DEPLOY_WITH=terraform

.PHONY: simulate
simulate: ## A million simulated histories of all handlers under faults (SEEDS, FROM, KIND), or that of one SEED line by line
	cargo run --release --locked -p tests --bin simulate -- $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000000) --from $(or $(FROM),0)) $(if $(KIND),--kind $(KIND))

.PHONY: chaos
chaos: local ## The built functions, killed with SIGKILL: 1,000 scorers on 100,000 messages, 200 batch predictors, 100 retrainers
	CHAOS=long PACKAGES=$(abspath $(PACKAGES)) $(TEST) --test system -- chaos:: --nocapture

.PHONY: mutants
mutants: ## Change one thing at a time in the files of .cargo/mutants.toml, and expect a test to fail (an hour)
	@target/mutants/tools/bin/cargo-mutants mutants --version >/dev/null 2>&1 || \
	  cargo install cargo-mutants --version 27.1.0 --locked --root target/mutants/tools
	CARGO_TARGET_DIR=$(CURDIR)/target/mutants/build target/mutants/tools/bin/cargo-mutants mutants --workspace -o target/mutants

.PHONY: hostile
hostile: local ## Forged Parquet and mutated models: 100,000 files in process and 20,000 through the batch predictor
	HOSTILE_FILES=100000 PACKAGES=$(abspath $(PACKAGES)) $(TEST) --test system -- hostile:: --nocapture
	MUTATIONS=10000 cargo test --workspace --lib -- mutations:: --nocapture

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZ_SECONDS (600) with coverage feedback; needs a C++ compiler
	python3 tools/fuzz.py --seconds $(or $(FUZZ_SECONDS),600)

.PHONY: determinism
determinism: local ## The same inputs give the same models: in a hundred processes, on any number of threads
	PACKAGES=$(abspath $(PACKAGES)) $(TEST) --test system -- determinism::

.PHONY: test-card
test-card: local ## Model cards: valid by their schema, and looked at in a real browser
	python3 tools/card/check.py

.PHONY: test-monitor
test-monitor: local ## The monitor: its report in a real browser, its figures on a real Prometheus, dashboards by Grafana's schema
	python3 tools/monitor/check.py

.PHONY: test-sql
test-sql: local ## The queries of docs/SQL.md with DuckDB, on predictions and figures that the product has just written
	python3 tools/sql/check.py

.PHONY: test-compared
test-compared: local ## The commands of docs/COMPARED.md, and what they print
	python3 tools/compared.py

.PHONY: test-neighbours
test-neighbours: local ## The DAG on Airflow, the pipeline by Kubeflow Pipelines' own compiler and runner, pointers to months by DVC
	python3 tools/neighbours/check.py

.PHONY: test-extending
test-extending: ## A project made from infra/new-project: built, tested, and trained on the sample
	python3 tools/extend/check.py

.PHONY: test-web
test-web: local ## `tripcast serve`: its page in a browser, generated requests by its OpenAPI document, slow and large ones, its end
	python3 tools/web/check.py

.PHONY: test-mlflow
test-mlflow: local ## What the retrainer logs, on a real MLflow server, read back by its own client
	python3 tools/mlflow/check.py

.PHONY: replay
replay: local ## 2023-01 to 2024-10 month by month, retrained on each 15th with the month before (TRIPS_DIR; an hour of processor time)
	target/release/tripcast replay --trips "$${TRIPS_DIR:?is the folder of whole months: make months fetches them}" --from 2023-01 --to 2024-10 --compare

.PHONY: local
local: ## Build for this machine: the release binaries, and the functions' packages (target/local)
	$(RELEASE)
	@python3 infra/package.py $(FUNCTIONS)

.PHONY: build
build: ## Build the functions' packages for AWS (target/lambda/<architecture>; ARCHITECTURES="arm64 x86_64" must both be)
	python3 tools/build/build.py $(addprefix --architecture ,$(ARCHITECTURES))

.PHONY: reproduce
reproduce: ## Build the packages for AWS once more elsewhere: the same bytes
	python3 tools/build/reproduce.py --architecture $(HOST)

.PHONY: sam-build
sam-build: ## Build with `sam build`, as `sam deploy` does, and pack what comes out (target/sam)
	python3 tools/build/sam_build.py

.PHONY: probe
probe: ## Build the scorer that panics on demand, for the tests of what a panic costs
	@mkdir -p target/probe
	$(RELEASE) --features scorer/panic-probe --bin scorer
	@cp target/release/scorer target/probe/scorer

.PHONY: lint-infra
lint-infra: ## Check templates, infra/container, infra/terraform and .github with their own linters, offline
	python3 tools/infra/lint.py

.PHONY: deny
deny: ## Check licences, sources and advisories of what is depended on (OFFLINE=1: without advisories)
	python3 tools/deny/deny.py $(if $(OFFLINE),--offline)

.PHONY: dashboards
dashboards: ## Make the dashboards anew from the list of metrics
	UPDATE_DASHBOARDS=1 $(TEST) --test system -- dashboards::

.PHONY: lint
lint: ## Check format and clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: unit
unit: ## Unit tests, contracts between files, golden numbers on real trips
	$(TEST) -- $(addprefix --skip ,bootstraps:: chaos:: hostile::built:: terminal:: end_to_end:: permissions:: determinism:: emulator::)

.PHONY: e2e
e2e: venv probe local e2e-only ## The built functions: under a double of Lambda, and on a local AWS of the tests' own

.PHONY: e2e-only
e2e-only: export LOCAL_AWS_PORT = $(or $(E2E_PORT),$(shell $(LOCAL_AWS) free-port),$(error no free port for the tests' local AWS))
e2e-only: export LOCAL_AWS_RECORD = $(CURDIR)/target/e2e/calls.jsonl
e2e-only: AS_LOCAL = AWS_ENDPOINT_URL=http://127.0.0.1:$(LOCAL_AWS_PORT) AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
e2e-only: ## The same on PACKAGES, deployed by DEPLOY_WITH (sam, terraform); then what they called beside what they may, and the smoke test
	@rm -rf target/e2e && mkdir -p target/e2e
	@trap '$(LOCAL_AWS) down' EXIT; $(LOCAL_AWS) up && \
	export PACKAGES=$(abspath $(PACKAGES)) DEPLOY_WITH=$(DEPLOY_WITH) && \
	$(TEST) --test system -- bootstraps:: chaos:: hostile::built:: terminal:: end_to_end:: --nocapture && \
	$(TEST) --test system -- permissions:: && \
	$(AS_LOCAL) python3 tools/deploy/smoke.py --stage dev --outputs target/e2e/thousand.json

.PHONY: test-rie
test-rie: venv probe local ## The built functions under Lambda's own emulator, every sample event
	emulator=$$(python3 tools/infra/emulator.py) && EMULATOR=$$emulator PACKAGES=$(abspath $(PACKAGES)) $(TEST) --test system -- emulator::

ARM64_ROOT ?= /usr/aarch64-linux-gnu
ARM64_RUN = qemu-aarch64 -L $(ARM64_ROOT)
ARM64_GCC = aarch64-linux-gnu-gcc

.PHONY: test-arm64
test-arm64: ## The package of the other processor, from `make build`, under emulation: the sample gives the same models, kernels the same sums
	@if qemu-aarch64 --version >/dev/null 2>&1 && [ -e target/lambda/arm64/retrainer/bootstrap ]; then \
	  RUNNER="$(ARM64_RUN)" PACKAGES=$(abspath target/lambda/arm64) \
	    $(TEST) --test system -- bootstraps::a_built_retrainer; \
	else \
	  python3 tools/not_run.py note "models of the sample on arm64" \
	    "it takes qemu-user and libc6-arm64-cross (Debian), and \`make build\`"; \
	fi
	@if qemu-aarch64 --version >/dev/null 2>&1 && $(ARM64_GCC) --version >/dev/null 2>&1; then \
	  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$(ARM64_GCC) CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$(ARM64_RUN)" \
	    cargo test --locked -p trees --lib --target aarch64-unknown-linux-gnu scorer; \
	else \
	  python3 tools/not_run.py note "scoring on arm64" \
	    "it takes qemu-user, libc6-arm64-cross and gcc-aarch64-linux-gnu (Debian)"; \
	fi

.PHONY: test-clients
test-clients: local ## The examples of docs/CLIENTS.md as they are written: AWS CLI, boto3, curl, requests, MLflow's client
	python3 tools/clients/check.py

.PHONY: sam-local
sam-local: ## `sam local invoke` of every function on a local AWS, where there is a container engine; looks at what each one did
	python3 tools/infra/sam_local.py

.PHONY: images
images: ## Build an image of every function and try it under its runtime emulator, where there is a container engine
	python3 tools/infra/images.py

.PHONY: bench
bench: ## Measure training, scoring and explaining, against the last time this was run
	cargo bench --locked -p trees --bench trees

.PHONY: bench-peers
bench-peers: ## Measure training and scoring beside LightGBM, XGBoost and others (writes docs/BENCHMARKS.md)
	cargo build --release --locked -p tripcast --bin tripcast --example served
	cargo build --release --locked -p trees --example bench
	python3 tools/bench_peers/peers.py

.PHONY: bench-large
bench-large: ## Measure a file of 20 million trips beside pandas, polars and DuckDB with LightGBM, once each (an hour)
	cargo build --release --locked -p tripcast --bin tripcast --example served
	cargo build --release --locked -p trees --example bench
	python3 tools/bench_peers/peers.py --only files-20m --repeats 1

.PHONY: train-large
train-large: local ## Read 40 million generated trips of 24 months, and learn from an eighth of them, within 4 GiB (a quarter of an hour)
	python3 tools/train_large.py

.PHONY: monitor-peers
monitor-peers: local ## False alarms and expected errors beside Evidently, NannyML and river on the same months (TRIPS_DIR; half an hour)
	python3 tools/monitor/losses.py
	python3 tools/monitor/peers.py

.PHONY: bench-cold
bench-cold: local ## Measure cold starts beside Python functions that do the same (writes docs/BENCHMARKS.md)
	python3 tools/bench_cold/cold.py

.PHONY: venv
venv: ## Install the local AWS (once)
	@$(LOCAL_AWS) install

.PHONY: up
up: ## Start the local AWS (LOCAL_AWS_PORT, default 4566)
	@$(LOCAL_AWS) up

.PHONY: deploy
deploy: local ## Deploy template.yaml to the local AWS, with a stream beside the queues
	@$(LOCAL_AWS) deploy --parameter StreamShards=1

# The next targets use AWS. The first only reads; the others take the packages of `make build` and build nothing, so that exactly the
# attested packages are deployed.
.PHONY: preflight
preflight: ## Read the account's quota of functions at once, and say whether the stage fits (STAGE=dev or prod)
	python3 tools/deploy/preflight.py --stage $(STAGE)

.PHONY: deploy-sam
deploy-sam: ## Deploy the built packages to AWS by SAM (STAGE=dev or prod)
	python3 tools/deploy/sam.py --stage $(STAGE)

.PHONY: smoke
smoke: ## Try what is deployed: a message, a bad one, a file, ages, a metric, an alarm (STAGE=dev or prod, DEPLOY_WITH)
	python3 tools/deploy/smoke.py --stage $(STAGE) --with $(DEPLOY_WITH)

.PHONY: plan-terraform
plan-terraform: ## Say what Terraform would change on AWS (STAGE, TF_STATE_BUCKET)
	python3 tools/deploy/terraform.py plan --stage $(STAGE)

.PHONY: deploy-terraform
deploy-terraform: ## Deploy the built packages to AWS by Terraform (STAGE, TF_STATE_BUCKET)
	python3 tools/deploy/terraform.py apply --stage $(STAGE)

.PHONY: down
down: ## Stop the local AWS
	@$(LOCAL_AWS) down

.PHONY: clean
clean: ## Remove what was built
	cargo clean
