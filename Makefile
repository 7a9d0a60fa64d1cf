# Bare `make` lists what one can do.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

UV_VERSION := 0.13.9
UV := .tools/bin/uv
UV_STAMP := .tools/uv-$(UV_VERSION)
PY := .venv/bin/python

# make run PORT=1885 PAGE=8082 SETTINGS=my.json
PORT ?= 1884
PAGE ?= 8081
SETTINGS ?=

.PHONY: help run watch demo test check fmt unit shake coverage bench docs site vendor screenshots demo-model images compose-test container-tests home-assistant-test \
	passwords backup restore upgrade packages-run packages-test env-run env-dev clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

run: env-run ## start everything here, with the demo camera or SETTINGS=my.json; Ctrl-C stops
	@exec $(PY) tools/run.py --run-dir "$(NXAI_RUN_DIR)" --broker "$(NXAI_BROKER)" \
		--port "$(PORT)" --page "$(PAGE)" --settings "$(SETTINGS)"

watch: env-run ## print what the cameras of a running `make run` see
	@NXAI_BROKER=mqtt://127.0.0.1:$(PORT) \
		EDGE_SECRETS="$(or $(NXAI_RUN_DIR),.run)/mosquitto/secrets" \
		deploy/local/service.sh viewer $(PY) tools/watch.py

demo: env-dev ## the whole Edge Impulse loop in minutes, without an account: collect, retrain, swap
	@exec $(PY) tools/demo.py

test: packages-test check coverage ## set up and pass every test

check: env-dev ## style, types and the shape of the tree
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports

fmt: env-dev ## put the code into its one style
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

unit: env-dev ## only the fast tests: pure code and promises
	@$(PY) -W error -m pytest -q tests/unit tests/contract tests/shape

shake: env-dev ## run tests with threads held up at random; finds those that rely on luck
	@for whom in services test; do \
		SHAKE=$$whom PYTHONPATH=tests $(PY) -W error -m pytest -q --timeout 600 -p support.shaking \
			$(or $(ARGS),tests/unit tests/contract tests/integration); done

# Contracts, the bus and every core must be covered completely. The table comes first, pytest's
# own closing line last.
coverage: env-dev
	@$(PY) -W error -m coverage run -m pytest tests --ignore=tests/benchmarks 2>&1 | tee .pytest.log
	@$(PY) -m coverage report --skip-covered --fail-under=100 \
		--include='*/nxai_common/contracts/*,*/nxai_common/bus/*,*/core/*'
	@tail -1 .pytest.log

bench: env-dev ## measure speed and memory against a bare loop (many minutes)
	@PYTHONPATH=tests $(PY) -m benchmarks $(ARGS)

docs: env-dev ## write the generated pages of docs/ again
	@$(PY) tools/generate_docs.py

site: env-dev ## build the documentation as a site, into site/
	@.venv/bin/zensical build --strict

vendor: env-dev ## fetch the libraries of the page again (npm), as pinned in tools/vendor.py
	@$(PY) tools/vendor.py $(ARGS)

screenshots: env-dev packages-test ## take the pictures of docs/screenshots again (Chromium)
	@cd tests && ../$(PY) -m support.screenshots

demo-model: env-dev ## train the model of the demo camera again (PyTorch, minutes)
	@$(UV) run --no-sync --with torch==2.13.0 python tools/demo_model/train.py

images: ## build the container images
	@docker-compose version > /dev/null 2>&1 && docker-compose build || docker compose build

passwords: ## the accounts at the broker for programs outside; ROTATE=viewer gives one a new password
	@tools/passwords.sh $(ROTATE)

backup: ## containers: all data, passwords and .env into backups/ (or FILE=...)
	@python3 tools/backup.py backup $(FILE)

restore: ## containers: bring back what FILE=backups/... has; the present data is kept aside
	@python3 tools/backup.py restore $(FILE)

upgrade: ## containers: back up, build, start; back to what ran before if that fails
	@python3 tools/upgrade.py

compose-test: env-dev ## bring the containers up for real: every profile, every fault (ARGS="-k backup")
	@deploy/local/packages.sh compose
	@tools/docker/engine.sh tools/docker/compose_test.sh $(ARGS)

home-assistant-test: env-dev ## the box in a real Home Assistant (root; installed once, 830 MB in the cache)
	@deploy/local/packages.sh home-assistant
	@NXAI_TEST_HOME_ASSISTANT=1 $(PY) -W error -m pytest -q tests/home_assistant $(ARGS)

container-tests: env-dev ## the tests of broker and database, against those in containers
	@deploy/local/packages.sh compose
	@tools/docker/engine.sh tools/docker/container_tests.sh

clean: ## remove what was built and set up here (.run stays: it holds your settings)
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* .pytest.log htmlcov \
		.import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

packages-run:
	@deploy/local/packages.sh run

packages-test:
	@deploy/local/packages.sh test

# uv itself comes from PyPI into a folder of its own, so that nothing on the machine changes.
$(UV_STAMP): | packages-run
	@echo "Setting up uv $(UV_VERSION) in .tools ..."
	@python3 -m venv --clear .tools
	@.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

# --inexact: what somebody added to .venv by hand stays.
env-run: packages-run $(UV_STAMP)
	@$(UV) sync --quiet --frozen --inexact --no-default-groups --group run

env-dev: packages-run $(UV_STAMP)
	@$(UV) sync --quiet --frozen --inexact
