# Muster: `make up` runs it, `make test` tests it; each does its own set-up on a
# bare Debian or Ubuntu with Rust, Node, Python and git (docs/install.md).
#
# The steps are scripts in scripts/; this file only names them.

.DEFAULT_GOAL := help
.PHONY: up down setup build console lint fmt test test-core test-browser mutants bench help

up: ## Build Muster and run it here; Ctrl-C ends it, the containers stay
	@exec scripts/up.sh

down: ## Stop the containers of `make up`, by stop orders, and its registry
	@exec scripts/down.sh

setup: ## Install what is missing; start Docker and the image registry
	@scripts/setup-build.sh
	@scripts/setup-console.sh
	@scripts/setup-docker.sh
	@scripts/registry.sh start
	@scripts/images.sh

build: ## Build the release binary, with the console embedded
	@scripts/build.sh

console: ## Build the console alone, into web/dist/
	@scripts/build-console.sh

lint: ## Check formatting; clippy with warnings denied
	@scripts/lint.sh

fmt: ## Format the code
	@cargo fmt --all

test: ## Everything: lint, Rust tests with real git and Docker, browser tests
	@exec scripts/test.sh

test-core: ## The tests of the pure core alone, with few random inputs
	@PROPTEST_CASES=$${PROPTEST_CASES:-4} cargo test -q -p muster-core --tests

test-browser: ## The browser tests alone, against the release build
	@exec scripts/test-browser.sh

mutants: ## Break promises of the code on purpose; the tests have to notice
	@exec scripts/mutants.sh

bench: ## Measure the core's decisions, and a push to running containers
	@exec scripts/bench.sh

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  MUSTER_HOME (.muster), MUSTER_LISTEN (127.0.0.1:7400) and MUSTER_REGISTRY_LISTEN"
	@echo "  (127.0.0.1:5000) move what it keeps and where it listens; a second stack on one"
	@echo "  machine needs a MUSTER_CELL (local) of its own, too."
