# `make help` says what there is. Needs Python 3.11 or newer, git and GNU make; no GPU, Docker or Redis.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/sh

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
RUNS ?= runs
# Where torch comes from; empty is the index that pip is configured for. A smaller download without
# CUDA: make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# One version, installed by its own line first: a range would pull whatever CUDA build is newest.
TORCH := torch==2.13.0
# What the demo needs, and everything but [fast], which compiles the loops of the request path.
DEMO_EXTRAS := train,embedded-redis
EXTRAS := $(DEMO_EXTRAS),docs,dev,loadtest,otel
# What serve starts: the folder of a finished run.
RUN ?= $(RUNS)/movielens
PORT ?= 8000

# Threads that wait for each other by spinning make training ten times slower on a busy machine.
export OMP_WAIT_POLICY ?= PASSIVE

BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.demo-ready
DATA := $(RUNS)/movielens
WORLD := $(RUNS)/click_world

##@ Start here

.PHONY: demo
demo: $(DATA)/.exported ## Train on MovieLens 100K, serve on port 8000, show a list before and after
	$(BIN)/relist demo --run $(DATA)

.PHONY: demo-world
demo-world: $(WORLD)/.exported ## The same on 48,000 simulated lists, whose true value is known
	$(BIN)/relist demo --run $(WORLD)

.PHONY: serve
serve: $(DEMO_READY) ## Serve the artifact of RUN (default runs/movielens) from memory, without Redis
	RERANK_ARTIFACT_DIR=$(RUN)/artifact RERANK_USERS_FILE=$(RUN)/generator/users.bin \
	RERANK_REQUESTS_FILE=$(RUN)/generator/requests.jsonl RERANK_PORT=$(PORT) $(BIN)/relist serve

##@ The steps of the demo, each started from what is there

.PHONY: setup log train artifact
setup: $(READY) ## Make the virtual environment (VENV, default .venv) with everything in it
log: $(DATA)/.logged ## Build the canonical log of MovieLens 100K
train: $(DATA)/.trained ## Train evaluator and generator; stopped with Ctrl-C, it resumes
artifact: $(DATA)/.exported ## Export both nets to ONNX and verify them against PyTorch

$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo 'no venv module: on Debian and Ubuntu, apt-get install python3-venv' >&2; exit 1; }
	@echo 'Installing $(TORCH) into $(VENV)'
	@$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	@touch $@

$(DEMO_READY): $(VENV)/.torch pyproject.toml
	@echo 'Installing what trains and serves into $(VENV)'
	@$(BIN)/python -m pip install --quiet -e '.[fast,$(DEMO_EXTRAS)]'
	@touch $@

$(READY): $(DEMO_READY)
	@echo 'Installing what tests and documents into $(VENV)'
	@$(BIN)/python -m pip install --quiet -e '.[fast,$(EXTRAS)]'
	@touch $@

# $(1): folder of the run.  $(2): the `relist log` subcommand.  $(3): configuration.
# The environment stands behind `|`: a newer one does not train again.
define steps
$(1)/.logged: | $(DEMO_READY)
	@mkdir -p $(1)
	$(BIN)/relist log $(2) --out $(1)/log
	@touch $$@

$(1)/.evaluated: $(1)/.logged $(3) | $(DEMO_READY)
	$(BIN)/relist train evaluator --log $(1)/log --config $(3) --out $(1)/evaluator
	@touch $$@

$(1)/.trained: $(1)/.evaluated $(3) | $(DEMO_READY)
	$(BIN)/relist train generator --log $(1)/log --evaluator $(1)/evaluator --config $(3) \
		--out $(1)/generator
	@touch $$@

$(1)/.exported: $(1)/.trained | $(DEMO_READY)
	$(BIN)/relist export --evaluator $(1)/evaluator --generator $(1)/generator --out $(1)/artifact
	@touch $$@
endef
$(eval $(call steps,$(DATA),movielens,model/config/presets/movielens.toml))
$(eval $(call steps,$(WORLD),click-world,model/config/presets/click_world.toml))

.PHONY: benchmark benchmark-quick evaluate latency load
benchmark: $(READY) ## Train all methods on the same logs, compare them: docs/benchmarks/ (a night on 2 cores)
	$(BIN)/relist benchmark --work $(RUNS)/benchmark
benchmark-quick: $(READY) ## The same on small logs with one seed, in minutes: RUNS/benchmark/quick
	$(BIN)/relist benchmark --quick --work $(RUNS)/benchmark --out $(RUNS)/benchmark/quick
evaluate: $(DATA)/.trained ## Measure the demo's pair on later requests, beside simple orders
	$(BIN)/relist evaluate --log $(DATA)/log --evaluator $(DATA)/evaluator \
		--generator $(DATA)/generator --out $(DATA)/evaluated
latency: $(READY) ## One request at a time against a started service (RUN, PORT): median and p99
	$(BIN)/relist latency --url http://127.0.0.1:$(PORT) --requests $(RUN)/generator/requests.jsonl

URL ?= http://127.0.0.1:$(PORT)
RATE ?= 100
DURATION ?= 60
SHAPE ?= steady
PROCESSES ?= 1
# More options of the load: docs/how-to/load-test.md.
LOAD ?=
# More options of the benchmark, --json FILE or --quick.
BENCH ?=
load: $(READY) ## Load a started service (URL or PORT, RUN, RATE, DURATION, SHAPE, PROCESSES), verdict
	@mkdir -p $(RUN)/load
	@echo 'Loading $(URL) for $(DURATION) s, $(SHAPE), $(RATE) requests per second ..'
	@$(BIN)/locust -f loadtest/locustfile.py --headless --only-summary --loglevel WARNING \
		--host $(URL) --requests $(RUN)/generator/requests.jsonl --processes $(PROCESSES) \
		--shape $(SHAPE) --rate $(RATE) --duration $(DURATION) --csv $(RUN)/load/load \
		--html $(RUN)/load/load.html --json-file $(RUN)/load/locust \
		--verdict-json $(RUN)/load/verdict.json $(LOAD) && status=0 || status=$$?; \
		[ $$status -eq 2 ] || echo 'Charts and tables: $(RUN)/load/load.html'; exit $$status

PARTS ?= rounds latency sizes workers memory
.PHONY: bench
bench: $(READY) ## Speed on two cores beside mosec and a plain reference: docs/benchmarks/serving.md (RUN, PARTS, 15 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m loadtest.bench --artifact $(RUN)/artifact \
		--serving-bundle $(RUN)/generator --parts $(PARTS) --write docs/benchmarks/serving.md $(BENCH)

##@ Containers

# Any program that is called as docker compose is.
COMPOSE ?= docker compose
COMPOSE_FILE := docker/compose.yml
.PHONY: up down images compose-test locks
up: ## Bring everything up: service on 8000, Prometheus 9090, Grafana 3000, locust 8089
	$(COMPOSE) -f $(COMPOSE_FILE) up -d --build
down: ## Take it down; what it trained and stored stays
	$(COMPOSE) -f $(COMPOSE_FILE) down
images: ## Build the images of service, trainer and locust
	$(COMPOSE) -f $(COMPOSE_FILE) build
compose-test: $(READY) ## Bring it up for real, check it, take it down (COMPOSE)
	COMPOSE='$(COMPOSE)' $(BIN)/python -m pytest -m compose tests/docker
locks: $(READY) ## Renew the lock files of the images (LOCK_OPTIONS=--upgrade)
	$(BIN)/python docker/lock_requirements.py $(LOCK_OPTIONS)

.PHONY: dashboards dashboards-test pictures
dashboards: $(READY) ## Write the dashboards' JSON from their code
	$(BIN)/python -m docker.grafana.build_dashboards
dashboards-test: $(READY) ## Alert rules and every panel's queries against a real Prometheus
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m prometheus tests/docker
pictures: $(READY) ## Play minutes of traffic on RUN and draw the dashboards from it
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.docker.live_stack --run $(RUN)

##@ Documentation

.PHONY: docs reference docs-serve
docs: $(READY) ## Build the documentation into site/; a dead link or a page outside the navigation fails
	$(BIN)/python -m docs.generate_reference --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
reference: $(READY) ## Write the reference pages from the code
	$(BIN)/python -m docs.generate_reference
docs-serve: $(READY) ## Show the documentation on port 8001, rebuilt after each change
	$(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

##@ Work on the code

# Alert rules and dashboards are tested with the real Prometheus where there is one.
PROMTOOL := $(and $(shell command -v prometheus),$(shell command -v promtool))
NO_PROMTOOL := LEFT OUT: tests of alert rules and dashboards (no prometheus and promtool on PATH)
# The playground is tested in a real Chromium where there is one.
CHROMIUM := $(shell command -v chromium)
NO_CHROMIUM := LEFT OUT: tests of the playground in a browser (no chromium on PATH)

.PHONY: test
test: lint ## All checks and all tests but `soak` and those that need a GPU or containers
	@$(if $(PROMTOOL),,echo '$(NO_PROMTOOL)' >&2)
	@$(if $(CHROMIUM),,echo '$(NO_CHROMIUM)' >&2)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile \
		-m 'not soak and not gpu and not compose$(if $(PROMTOOL),, and not prometheus)$(if $(CHROMIUM),, and not browser)'

# Environments beside VENV. TESTS names the tests that run, all by default.
UV := $(BIN)/python -m uv pip
UV_TORCH := $(if $(TORCH_INDEX),--index-strategy unsafe-best-match --extra-index-url $(TORCH_INDEX)) $(patsubst %,--find-links %,$(PIP_FIND_LINKS))
FAST_TESTS := tests/model/contract tests/service tests/export

.PHONY: test-lowest test-without-fast
test-lowest: $(READY) ## The suite with the lowest versions that pyproject.toml allows (TESTS)
	rm -rf .venv-lowest
	$(BIN)/python -m uv venv --quiet --python $(BIN)/python .venv-lowest
	$(UV) install --quiet --python .venv-lowest $(UV_TORCH) --resolution lowest-direct \
		-e '.[fast,$(EXTRAS)]'
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest \
		-m 'not soak and not gpu and not compose and not prometheus and not browser' $(TESTS)

test-without-fast: $(READY) ## Contract, service and export in an environment without numba (TESTS)
	rm -rf .venv-without-fast
	$(BIN)/python -m uv venv --quiet --python $(BIN)/python .venv-without-fast
	$(UV) install --quiet --python .venv-without-fast $(UV_TORCH) -e '.[$(EXTRAS)]'
	! .venv-without-fast/bin/python -c 'import numba' 2>/dev/null
	OMP_NUM_THREADS=1 .venv-without-fast/bin/python -m pytest \
		-m 'not soak and not gpu and not compose and not prometheus and not browser' \
		$(or $(TESTS),$(FAST_TESTS))

.PHONY: soak
soak: $(READY) ## Minutes of load on one server: 200 changes of artifact, 60 s of overload
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m soak tests/service

.PHONY: fast-test
fast-test: $(READY) ## The tests that neither train a net nor load a server
	$(BIN)/python -m pytest

.PHONY: lint
lint: $(READY) ## Format, style, types and import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy service model export loadtest docker docs tests
	PYTHONPATH=. $(BIN)/lint-imports

.PHONY: format
format: $(READY) ## Rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: clean clean-data
clean: ## Remove the virtual environment and all caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
clean-data: ## Remove logs, checkpoints and artifacts (RUNS, default runs)
	rm -rf $(RUNS)

.PHONY: help
help: ## This page
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
