# Everything a developer types. `make help` lists it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SECONDS ?=
RATE ?=
KAFKA ?= embedded
SERVICES := inference shadow drift alerting performance cli feed
WORKERS ?= 2
SEEDS ?= 1
TOPOLOGY ?= both
AT_WORK ?= all
LANES ?= 1
HOURS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test faults soak audit check monitoring lock schemas bench images k8s k8s-check compose-check clean

help: ## list the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# The environment is laid from a lock file with hashes: the same everywhere, every time.
$(VENV)/dev: requirements/dev.lock requirements/uv.lock pyproject.toml
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.lock
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip sync --quiet --require-hashes requirements/dev.lock
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@ $(VENV)/demo

$(VENV)/demo: requirements/demo.lock requirements/uv.lock pyproject.toml
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.lock
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --require-hashes -r requirements/demo.lock
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@

demo: $(VENV)/demo ## score a year of real flights on an embedded broker (KAFKA=apache, SECONDS=60, RATE=500)
	@$(BIN)/python -m devstack.demo --kafka $(KAFKA) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RATE),--rate $(RATE))

test: $(VENV)/dev ## the whole test suite, against a real Apache Kafka for each worker (WORKERS=0 for none)
	$(BIN)/python -m pytest --numprocesses $(WORKERS)

faults: $(VENV)/dev ## break services and brokers, look for lost or repeated records (SEEDS=1..20, TOPOLOGY=one, LANES=8)
	$(BIN)/python -m pytest -m faults
	$(BIN)/python -m tests.faults --controls
	$(BIN)/python -m tests.faults --seeds $(SEEDS) --faults all --topology $(TOPOLOGY) --services $(AT_WORK) --lanes $(LANES)

soak: $(VENV)/dev ## faults at random for hours; writes soak.html (HOURS=8)
	$(BIN)/python -m tests.faults.soak --hours $(HOURS) --services $(AT_WORK) --html soak.html

audit: $(VENV)/dev ## look up the locked packages in the database of known vulnerabilities
	$(BIN)/python -m devstack.audit

check: $(VENV)/dev ## what CI runs: format, lint, types, layering, generated files, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m shared.schemas --check
	$(BIN)/python -m devstack.audit --where-reachable
	$(BIN)/python -m pytest --numprocesses $(WORKERS)

monitoring: $(VENV)/dev ## Prometheus, Alertmanager and rsyslog from Debian's packages, without which some tests are skipped
	@$(BIN)/python -m devstack install-monitoring

bench: $(VENV)/dev ## measure CPU per event and latency side by side with other tools
	$(BIN)/python -m loadtest all

schemas: $(VENV)/dev ## regenerate docs/schemas and docs/asyncapi.json
	$(BIN)/python -m shared.schemas --write

lock: $(VENV)/dev ## resolve the lock files anew from pyproject.toml
	for extra in demo dev; do \
	  $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --extra $$extra \
	    --generate-hashes --no-header --quiet --output-file requirements/$$extra.lock; \
	done
	for service in $(SERVICES); do \
	  $(BIN)/uv pip compile pyproject.toml --python-version 3.11 --python-platform linux --extra $$service \
	    --constraint requirements/dev.lock --generate-hashes --no-header --no-annotate --quiet \
	    --output-file requirements/$$service.lock; \
	done
	echo uv | $(BIN)/uv pip compile - --universal --generate-hashes --no-header --quiet --output-file requirements/uv.lock

images: $(VENV)/dev ## build every image with Buildah, run it with Podman, say what came of it
	$(BIN)/python -m devstack.images

k8s: $(VENV)/dev ## regenerate the parts of k8s/ that are made from topics and rules
	$(BIN)/python -m devstack.k8s --write

k8s-check: $(VENV)/dev ## render every overlay, hold it against schemas and rules
	$(BIN)/python -m devstack.k8s

compose-check: $(VENV)/dev ## check docker-compose.yml, run it as processes and, where Podman is, by Docker Compose itself
	$(BIN)/python -m pytest tests/deploy/test_compose.py tests/deploy/test_compose_addresses.py
	@echo "VALIDATED: docker-compose.yml against the Compose Specification, every path, port and setting in it"
	$(BIN)/python -m pytest tests/deploy/test_compose_topology.py
	$(BIN)/python -m devstack.compose --if-possible

clean: ## remove the environment and everything devstack keeps here
	rm -rf $(VENV) .devstack .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
