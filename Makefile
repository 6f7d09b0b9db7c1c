# The commands of the project. `make demo` and `make test` need Rust, Node.js and a Debian-like system, nothing else.
# Recipes print nothing of their own on stdout: `make -s demo ARGS='--once --json'` gives JSON lines only.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo test ui fmt lint doc deny ci sweep-data fuzz soak index-growth

BUILT := $(or $(CARGO_TARGET_DIR),target)/debug
UI := crates/web/ui
# Everything the bundle is made of; changing one of them rebuilds it.
UI_SOURCES := $(shell find $(UI) \( -name node_modules -o -name dist \) -prune -o -type f -print 2>/dev/null)
# What `make deny` looks at; without a way to the advisory database: make deny CHECKS='licenses bans sources'
CHECKS ?=
# Real files for sweep-data.
DATA ?= ../shared/data

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ui ## build and run the node with a demonstration hospital; ARGS='--once --json' are passed on
	@cargo build --workspace --bins
	@$(BUILT)/dokuei demo $(ARGS)

test: ## install what the tests need, then run every test on both databases
	@.ci/install
	@$(MAKE) --no-print-directory ui
	@.ci/with-postgres .ci/test

# The node builds and serves its pages without the bundle, so a machine without Node.js only gets a message.
ifeq ($(wildcard $(UI)/package-lock.json),)
ui: ## build the front end's bundle
	@echo "ui: no $(UI)/package-lock.json, nothing to build" >&2
else ifeq ($(shell command -v npm),)
ui:
	@echo "ui: npm is missing, the node will run without the front end's bundle" >&2
else
ui: $(UI)/node_modules/.built
endif

# Stamps stand in node_modules, because all of dist goes into the binary.
$(UI)/node_modules/.installed: $(UI)/package-lock.json $(UI)/package.json
	@cd $(UI) && npm ci --no-audit --no-fund --loglevel=error >&2
	@mkdir -p $(@D) && touch $@

$(UI)/node_modules/.built: $(UI)/node_modules/.installed $(UI_SOURCES)
	@cd $(UI) && npm run --silent build >&2
	@mkdir -p $(@D) && touch $@

fmt: ## format the code
	cargo fmt --all

lint: ## clippy as the gate runs it
	cargo clippy --workspace --all-targets -- -D warnings

doc: ## the documentation as the gate builds it
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

deny: ## licences, advisories and banned crates of the lock file
	@.ci/install deny
	cargo deny check $(CHECKS)

ci: ## the whole gate
	.ci/run

fuzz: ## fuzz one target of fuzz/ for MINUTES; totals of all starts add up: make fuzz TARGET=data_set MINUTES=30
	@fuzz/run $(TARGET) $(or $(MINUTES),30)

# Each line is a run of its own and can be given alone: cargo run --release -p dokuei-testkit --bin soak -- kill --database postgres
SOAK_TOTALS ?= target/soak
SOAK := cargo run --release -q -p dokuei-testkit --bin soak -- --binary $(or $(CARGO_TARGET_DIR),target)/release/dokuei --totals $(SOAK_TOTALS)

soak: ## load on a real node, in figures; kills go on where an earlier start stopped
	@cargo build --release -p dokuei
	@$(SOAK) idle
	@$(SOAK) slow
	@$(SOAK) contexts
	@$(SOAK) large
	@$(SOAK) study
	@$(SOAK) study --database postgres
	@$(SOAK) kill
	@$(SOAK) kill --database postgres

index-growth: ## C-STORE with 5 thousand and with 5 million indexed instances, on both databases
	@cargo build --release -p dokuei
	@cargo run --release -q -p dokuei-database --example index_growth -- --binary $(or $(CARGO_TARGET_DIR),target)/release/dokuei --totals $(SOAK_TOTALS)
	@cargo run --release -q -p dokuei-database --example index_growth -- --binary $(or $(CARGO_TARGET_DIR),target)/release/dokuei --database postgres --totals $(SOAK_TOTALS)

sweep-data: ## send every file below DATA=dir through a node and compare what comes out
	DOKUEI_DATA_DIR="$(abspath $(DATA))" cargo nextest run -p dokuei --run-ignored all -E 'test(whole_data_folder)'
