# Everything that is done here, by a person or by CI, is a target of this file. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
# Where `make deps` puts Rust if there is none.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

# Development builds are optimised a little (see Cargo.toml), are there in half the time of a release build, and are the
# ones that the tests use too. RELEASE=1 is for machines that serve people.
RELEASE ?=
# What `run` and `chat` build: not more than they need. Tests build the engines of a cluster too.
PROGRAMS := $(if $(RELEASE),--release) --package hudhud-server --package hudhud-chat --bin hudhud --bin chat
BIN := $(or $(CARGO_TARGET_DIR),target)/$(if $(RELEASE),release,debug)

# The chat profile: one person on one machine. `make chat PROFILE=bob` is somebody else.
PROFILE ?= default
# Runs of the simulator.
SEEDS ?= 100
# What to fuzz, and for how long.
TARGET ?=
SECONDS ?= 60
# How long `soak` goes on.
MINUTES ?= 60
# Further arguments of what `run` and `chat` start.
ARGS ?=

##@ Use it

.PHONY: run
run: deps-build ## Build what is needed, start the server, say how to chat. RELEASE=1: optimised. ARGS="--help"
	@cargo build --locked $(PROGRAMS)
	@exec $(BIN)/hudhud $(ARGS)

.PHONY: chat
chat: deps-build ## Chat in this terminal. PROFILE=bob: as somebody else
	@cargo build --quiet --locked $(PROGRAMS)
	@exec $(BIN)/chat --profile '$(PROFILE)' $(ARGS)

##@ Change it

.PHONY: test
test: deps ## Everything that has to hold: `make check`, all tests, simulated runs, servers under faults
	@scripts/test

.PHONY: check
check: deps fmt-check deny clippy architecture doc ## What a reviewer would ask for: format, lints, rules, licences, docs

.PHONY: fmt-check
fmt-check:
	cargo fmt --all --check

.PHONY: deny
deny:
	cargo deny --locked --log-level error check bans licenses sources

.PHONY: clippy
clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package hudhud-server --package hudhud-chat -- -D warnings

.PHONY: architecture
architecture:
	cargo test --locked --workspace --quiet --test architecture

# Last: it reads what clippy left behind.
.PHONY: doc
doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps

.PHONY: sim
sim: deps-build ## Simulated runs, a seed each; the first failure is made small. SEEDS=1000, ARGS="--from 500"
	@cargo build --quiet --locked --workspace --bin sim
	@$(BIN)/sim --seeds $(SEEDS) $(ARGS)

.PHONY: mutants
mutants: deps-build ## Mistakes put into the real code, one at a time: the simulator has to notice each. ARGS="cursor"
	@cargo build --quiet --locked --workspace --bin mutants
	@$(BIN)/mutants $(ARGS)

.PHONY: bench
bench: deps-build ## Measure, and write docs/benchmarks.md, profile.json and plan.md anew (25 minutes). ARGS="--only idle,pairs"
	@cargo build --locked --release --package hudhud-server --package hudhud-bench
	@$(or $(CARGO_TARGET_DIR),target)/release/bench set --page docs/benchmarks.md --json docs/profile.json $(ARGS)
	@$(or $(CARGO_TARGET_DIR),target)/release/bench plan --profile docs/profile.json --page docs/plan.md

.PHONY: times
times: deps-build ## Whether answers that look alike take alike long. Let nothing else run meanwhile
	@cargo build --locked $(PROGRAMS)
	scripts/compare-times $(BIN)

.PHONY: fuzz
fuzz: deps-build ## Wrong bytes for one decoder, for long. TARGET=client_frames SECONDS=600
	@scripts/fuzz '$(TARGET)' '$(SECONDS)'

.PHONY: conformance
conformance: deps ## Other people's suites and clients against the server
	@cargo build --quiet --locked --workspace --bins --examples
	@scripts/conformance/run

.PHONY: overload
overload: deps-build ## Honest traffic beside floods and slow readers, as a table. ARGS="--rounds 9"
	@cargo build --locked $(PROGRAMS) --package hudhud-e2e --bin overload
	@$(BIN)/overload $(ARGS)

.PHONY: cluster
cluster: deps-build ## Start a cluster on this machine, to chat on: half a minute, 2 GiB, after the build and what is fetched once
	@scripts/deps cluster
	@cargo build --locked --package hudhud-server --features cluster --bin hudhud
	@exec scripts/cluster/up $(BIN)

.PHONY: cluster-test
cluster-test: deps-build ## A cluster on real engines from packages: every case, then every fault. Ten minutes, 4 GiB, and the build
	@scripts/deps e2e cluster
	@cargo build --quiet --locked --workspace --bins
	cargo test --locked --workspace --test cluster -- --include-ignored

.PHONY: cluster-soak
cluster-soak: deps-build ## A cluster of real processes, one fault after another. MINUTES=60, ARGS="--only Kafka"; 3 GiB
	@scripts/deps e2e cluster
	@cargo build --quiet --locked --workspace --bin hudhud --bin cluster_soak
	@$(BIN)/cluster_soak --minutes $(MINUTES) $(ARGS)

.PHONY: soak
soak: deps-build ## A real server, real clients, one fault after another. MINUTES=60; the report is in target/soak.json too
	@scripts/deps e2e
	@cargo build --quiet --locked --workspace --bin hudhud --bin soak
	@$(BIN)/soak --minutes $(MINUTES) --json $(or $(CARGO_TARGET_DIR),target)/soak.json $(ARGS)

.PHONY: fmt
fmt: ## Format the code
	cargo fmt --all

.PHONY: numbers
numbers: ## Put new protobuf numbers on record
	HUDHUD_RECORD_NUMBERS=1 cargo test --quiet --package hudhud-tools --test architecture protobuf

.PHONY: configuration
configuration: ## Write docs/configuration.md anew
	HUDHUD_RECORD_CONFIGURATION=1 cargo test --locked --workspace --quiet --lib the_page_is_what_the_program_says

.PHONY: fixture
fixture: deps-build ## Keep a data folder of the present format, for the upgrade test
	HUDHUD_RECORD_FIXTURE=present cargo test --locked --workspace --quiet --test server earlier_formats_are_opened

.PHONY: audit
audit: deps ## Known vulnerabilities in dependencies (needs the network)
	cargo deny --locked check advisories

.PHONY: record
record: deps-build ## Record the session that the README shows
	@scripts/deps record
	@cargo build --locked $(PROGRAMS)
	scripts/record-session $(BIN)

##@ House-keeping

.PHONY: deps
deps: ## Install what is missing to build and test
	@scripts/deps build check e2e suites

.PHONY: deps-build
deps-build:
	@scripts/deps build

.PHONY: clean
clean: ## Remove what was built. Data of servers and clients stays
	cargo clean

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*##" } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*##/ { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
