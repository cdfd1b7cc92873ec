# Keystead: the workshop. `make run`, `make test`, `make check`; docs/development.md explains.

# The first Python 3.11 or newer that is found; name another: make test PYTHON=python3.13
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
# A Python that was named gets an environment of its own, so both stay installed.
VENV ?= .venv$(if $(filter command environment,$(firstword $(origin PYTHON))),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
PORT ?= 8000
ARGS ?=
# Three more than there are processors, since tests wait for servers and browsers; each has databases of its own, so few.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(5, (os.cpu_count() or 2) + 3))')

RUNTIME := requirements/runtime.txt
DEV := requirements/dev.txt
BENCH := requirements/bench.txt
LOCK := --allow-unsafe --generate-hashes --no-emit-find-links --no-emit-index-url --no-emit-options \
	--no-emit-trusted-host --strip-extras --quiet
# `check --deploy` judges the settings of a production, so it is given one.
PRODUCTION := KEYSTEAD_ENV=production KEYSTEAD_PUBLIC_URL=https://keystead.test KEYSTEAD_TRUSTED_PROXIES=1 \
	DATABASE_URL=postgres://keystead_application:-@127.0.0.1:1/keystead \
	DATABASE_VERIFIER_URL=postgres://keystead_verifier:-@127.0.0.1:1/keystead \
	REDIS_URL=redis://127.0.0.1:1/0 EMAIL_URL=smtp://127.0.0.1:25 \
	KEYSTEAD_WITNESSES='[{"backend": "audit.witness.http_witness.HttpWitness", "url": "https://witness.test", "vkey": "w"}]'

.PHONY: run manage test test-long check format lock bench screenshots install install-dev install-bench browser node clean

run: install ## start everything; PORT=8001 for another port, DEMO=1 for the demo organisation
	@exec env PORT=$(PORT) DEMO=$(DEMO) $(BIN)/python -m portal.supervisor  # exec: make passes SIGTERM to its child only

manage: install ## a management command against the running development site: make manage ARGS="recover_admin you@example.org"
	@exec env KEYSTEAD_ENV=development PORT=$(PORT) DEMO=$(DEMO) $(BIN)/python manage.py $(ARGS)

# Hundreds of processes are started: each would compile every module anew, wherever the environment forbids to keep them.
test test-long: export PYTHONDONTWRITEBYTECODE :=

test: install-dev browser node ## the tests, with real PostgreSQL, Valkey and Chromium
	$(BIN)/python -m pytest -n $(WORKERS) --dist=loadfile --no-loadscope-reorder $(ARGS)

test-long: install-bench browser node ## the tests that take minutes, of the benchmarks too
	$(BIN)/python -m pytest -m long --timeout=3600 $(ARGS)

check: install-dev ## formatting, lint, walls, types, migrations, production settings, templates
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	cd sdk/python/src && $(abspath $(BIN))/lint-imports --config ../pyproject.toml
	$(BIN)/mypy
	$(BIN)/mypy --config-file sdk/python/pyproject.toml
	KEYSTEAD_ENV=development $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@set -e; d=$$(mktemp -d); trap 'rm -rf "$$d"' EXIT; \
	$(BIN)/python -c 'import pathlib, sys; from portal import embedded, layout; embedded.create_secrets(layout.layout_at(sys.argv[1]))' "$$d"; \
	echo 'manage.py check --deploy'; $(PRODUCTION) KEYSTEAD_DATA="$$d" $(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/djlint templates --lint --quiet
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

format: install-dev ## make the code look as `make check` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: install-dev ## choose versions anew and pin them with hashes
	$(BIN)/pip-compile $(LOCK) --upgrade --output-file=$(RUNTIME) requirements/runtime.in
	$(BIN)/pip-compile $(LOCK) --upgrade --output-file=$(DEV) requirements/dev.in
	$(BIN)/pip-compile $(LOCK) --upgrade --output-file=$(BENCH) requirements/bench.in

bench: install-bench ## one benchmark of benchmarks/: make bench NAME=audit; ARGS="--quick" or ARGS="--only search" for less
	@test -n "$(NAME)" || { echo "Which? make bench NAME=..., one of: $$(ls benchmarks/*/__main__.py | cut -d/ -f2 | tr '\n' ' ')"; exit 2; }
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

screenshots: install-dev browser ## picture every page of a fresh demo into docs/images
	$(BIN)/python -m tests.journeys.screenshots

# Installing is skipped while the requirements and the Python are those of the last time.
define ensure
	@set -e; \
	test -n "$(PYTHON)" || { echo "Keystead needs Python 3.11 or newer and found none. Name one: make $@ PYTHON=/path/to/python3"; exit 1; }; \
	stamp="$$(cat $(1) | cksum | tr ' ' '-')-$$($(PYTHON) -c 'import sys; print(sys.executable, sys.version_info[:3])' | cksum | cut -d' ' -f1)"; \
	if [ "$$(cat $(VENV)/.$(2) 2>/dev/null)" != "$$stamp" ]; then \
		test -x $(BIN)/python && $(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { \
			echo "Making a virtual environment failed; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }; \
		echo "Installing the pinned requirements into $(VENV) ..."; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes $(3); \
		echo "$$stamp" > $(VENV)/.$(2); \
	fi
endef

install:
	$(call ensure,$(RUNTIME),runtime,-r $(RUNTIME))

install-dev:
	$(call ensure,$(RUNTIME) $(DEV),dev,-r $(RUNTIME) -r $(DEV))

install-bench: install-dev
	$(call ensure,$(RUNTIME) $(DEV) $(BENCH),bench,-r $(BENCH))

# Chromium is the one thing pip does not bring. Without it the browser journeys are skipped, except in CI.
# Its headless shell does the same for less; where Debian has it, it is taken, also beside a Chromium with windows.
APT_INSTALL := DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
browser:
	@is() { command -v "$$1" >/dev/null 2>&1; }; \
	may() { [ "$$(id -u)" = 0 ] && is apt-get; }; \
	shell() { may && apt-cache show chromium-headless-shell >/dev/null 2>&1 && $(APT_INSTALL) chromium-headless-shell >/dev/null 2>&1; }; \
	if is chromium-headless-shell; then :; \
	elif is chromium || is chromium-browser || is google-chrome; then shell || :; \
	elif may; then \
		echo "Installing Chromium for the browser journeys ..."; \
		{ apt-get update -qq && { shell || $(APT_INSTALL) chromium; }; } >/dev/null \
			|| { [ "$$CI" != true ] || { echo "CI needs Chromium and could not install it."; exit 1; }; }; \
	elif [ "$$CI" = true ]; then echo "CI needs Chromium, and it is not installed."; exit 1; \
	else echo "Chromium is not installed: the browser journeys will be skipped."; fi

# The client for TypeScript is built and tested where there is a Node.js. Without one its tests are skipped, except in CI.
node:
	@if command -v npm >/dev/null 2>&1 && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 15) ? 0 : 1)' 2>/dev/null; then \
		cd sdk/typescript && if ! cmp -s package-lock.json node_modules/.installed-lock; then \
			echo "Installing the packages of the client for TypeScript ..."; \
			npm ci --silent && cp package-lock.json node_modules/.installed-lock || { [ "$$CI" != true ] || exit 1; }; fi; \
	elif [ "$$CI" = true ]; then echo "CI needs Node.js 20.15 or newer, and it is not installed."; exit 1; \
	else echo "Node.js 20.15 or newer is not installed: the tests of the client for TypeScript will be skipped."; fi

clean: ## remove what was installed and cached; data in .data stays
	rm -rf sdk/typescript/node_modules sdk/typescript/dist
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
