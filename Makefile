# Needs Python 3.11 or newer, and the network for the first run. No PostgreSQL: one comes as a wheel.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
CONTAINERS := .venv/.containers
MUTMUT := .cache/mutmut/.installed
KUSTOMIZE := .cache/bin/kustomize
WORKERS := -n auto --maxprocesses 4
MAJORS ?= 14 15 16 17 18
AT_ONCE ?= 1

BOUNCER := $(shell PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v pgbouncer)
CHROMIUM := $(shell command -v chromium)
# The same words as in pyproject.toml: pytest takes only the last -m.
MARKS := not peers and not containers and not promtool and not regress$(if $(BOUNCER),, and not pgbouncer)$(if $(CHROMIUM),, and not browser)

# Any of these in the environment or in .env says that a database is configured: those that the settings take for one
# where nothing else is set, in any form of a line of .env.
SOURCES := (PGREADY_|MIGRATION_)?DATABASE_URL|PG(HOST|HOSTADDR|DATABASE|SERVICE)|POSTGRES_(SERVER|DATABASE|PASSWORD)
SOURCES := $(SOURCES)|DB_(USERNAME|DATABASE|NAME)|POSTGRES_DB|(DB|POSTGRES)_(HOST|PORT|USER)
CONFIGURED := ^[[:space:]]*(export[[:space:]]+)?($(SOURCES))(_FILE)?[[:space:]]*=[[:space:]]*["']?[^"'[:space:]]

.DEFAULT_GOAL := help
.PHONY: help install run test coverage mutants lint format test-all chaos screenshots test-peers test-containers \
  lint-containers test-regress test-alerts image sbom bench bench-all lock clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(STAMP)  ## Make .venv with the locked versions and the project in it.

$(STAMP): requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)' >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: install  ## Serve on the configured database; where there is none, on one in .pgready/, applying sql/ as it changes.
	@if { env; cat .env 2>/dev/null; } | grep -qE '$(subst ','\'',$(CONFIGURED))'; \
	then exec $(BIN)/pgready serve; \
	else exec $(BIN)/pgready serve --embedded --watch; fi

test: lint  ## Lint, and run the tests on real servers.
	@$(if $(BOUNCER),:,echo "pgbouncer is not installed, so its tests are left out: apt-get install pgbouncer")
	@$(if $(CHROMIUM),:,echo "chromium is not installed, so the page's tests are left out: apt-get install chromium")
	$(BIN)/pytest $(WORKERS) -m '$(MARKS)'

# Properties are left out: what they happen to reach differs from run to run.
coverage: install  ## Hold that named tests take every line and branch of core, dialects and settings.
	$(BIN)/coverage run -m pytest -q --ignore-glob='*_properties.py' tests/core tests/dialects tests/settings
	$(BIN)/coverage report

mutants: $(MUTMUT)  ## Change planning and run in every small way; shows the changes that no test notices (10 minutes).
	PYTHONPATH=$(CURDIR)/$(dir $(MUTMUT)) nice -n 10 $(BIN)/python tests/mutants.py

# Apart from .venv: it brings rich, which structlog would load in every test.
$(MUTMUT): requirements/mutants.txt $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --upgrade --target $(@D) -r $<
	@touch $@

lint: install  ## Check formatting, style, types and import layers.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## Format, and fix what can be fixed.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-all: install  ## Run the server tests on PostgreSQL 14 to 18 (MAJORS="16 18", AT_ONCE=2 of them side by side).
	$(BIN)/python tests/versions.py --at-once $(AT_ONCE) $(MAJORS) $(WORKERS) -m '$(MARKS)'

SCHEDULES ?= 300
chaos: install  ## Kill, cut, freeze and crash at random moments (SCHEDULES=5000, SEED=7; see docs/chaos.md).
	@PYTHONPATH=tests $(BIN)/python -m chaos --schedules $(SCHEDULES) $(if $(SEED),--seed $(SEED)) \
	  $(if $(SCHEDULE),--schedule '$(SCHEDULE)') $(CHAOS)

screenshots: install  ## Take the pictures of the page in docs/images (needs chromium and the fonts Inter, JetBrains Mono).
	PGREADY_TEST_SCREENSHOTS=1 $(BIN)/pytest -m browser tests/browser/test_states.py tests/browser/test_schema_page.py

test-peers: install  ## Compare with the real tools of others (needs Node.js, Go and Rust).
	$(BIN)/pytest -m peers tests/peers

test-containers: lint-containers $(KUSTOMIZE)  ## Bring up the image and the Compose files (needs Docker and Go).
	$(BIN)/pytest -m containers --timeout 900

lint-containers: $(CONTAINERS)  ## Check Dockerfile, Compose files and the GitHub Action with the tools of others.
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose/*.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions deploy/github-action/action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows deploy/github-action/example.yml
	$(BIN)/zizmor --offline --no-progress --quiet deploy/github-action/action.yml deploy/github-action/example.yml

$(CONTAINERS): requirements/containers.txt $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/containers.txt
	@touch $@

# It comes as a Go module only.
$(KUSTOMIZE):
	GOBIN=$(CURDIR)/$(@D) go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1

BASE ?= python:3.11-slim
image: $(STAMP)  ## Build the image `pgready`, labelled with version and commit (BASE=python:3.11-slim@sha256:…).
	docker build --tag pgready --build-arg BASE=$(BASE) \
	  --build-arg VERSION=$$($(BIN)/python -c 'import pgready; print(pgready.__version__)') \
	  --build-arg REVISION=$$(git rev-parse HEAD) \
	  --build-arg CREATED=$$(git log -1 --format=%cI) .

sbom: $(STAMP)  ## Write dist/pgready.cdx.json, the bill of materials of a locked installation.
	@mkdir -p dist .cache
	$(BIN)/pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --require-hashes \
	  --report .cache/dependencies.json -r requirements/runtime.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --dry-run --ignore-installed --no-deps \
	  --no-build-isolation --report .cache/own.json .
	$(BIN)/python deploy/image/sbom.py .cache/dependencies.json .cache/own.json \
	  --installed .venv/lib/python3*/site-packages >dist/pgready.cdx.json

test-regress: install  ## Compare with psql on PostgreSQL's own tests (PGREADY_TEST_REGRESS_SQL=…/src/test/regress/sql).
	$(BIN)/pytest -q -m regress tests/postgres/test_psql_agrees.py

test-alerts: install  ## Play series to the alert rules (needs promtool, of Debian's package prometheus).
	$(BIN)/pytest -m promtool tests/deploy

bench: install  ## Measure beside the floor and some peers, in about ten minutes (BENCH="--only apply-50 --peers goose").
	$(BIN)/python bench/run.py $(BENCH)

bench-all: install  ## Measure all cases with all peers, in an hour; write bench/results/ and the charts.
	$(BIN)/python bench/run.py --all --record $(BENCH)

lock: $(BIN)/uv  ## Bring requirements/ up to date with pyproject.toml, newest versions.
	$(COMPILE) -o requirements/runtime.txt
	$(COMPILE) --extra embedded --group dev -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --group pyproject.toml:containers --upgrade -c requirements/dev.txt \
	  $(LOCKED) -o requirements/containers.txt
	$(BIN)/uv pip compile --quiet --group pyproject.toml:mutants --upgrade -c requirements/dev.txt \
	  $(LOCKED) -o requirements/mutants.txt
	$(BIN)/python -c $(BUILD_REQUIRES) | $(BIN)/uv pip compile --quiet - --upgrade -c requirements/dev.txt \
	  $(LOCKED) -o requirements/build.txt
	@! grep -n '://' requirements/*.txt || { echo 'an address was written' >&2; exit 1; }

BUILD_REQUIRES := 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'
COMPILE = $(BIN)/uv pip compile --quiet pyproject.toml --upgrade $(LOCKED)
LOCKED := --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --no-emit-index-url --no-emit-find-links

$(BIN)/uv: install
	$(BIN)/pip install --quiet uv

clean:  ## Remove what can be made again; the embedded server's data in .pgready/ stays.
	rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
