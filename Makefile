# `make demo` to try it, `make test` to check it. Each target may be run alone.

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz soak install pages build release fmt clean

help: ## What there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

demo: pages ## Build all and start a gateway, a simulated carrier and a page with a telephone
	cargo build --locked --package sautikit-gateway --package sautikit-loadtest
	exec $${CARGO_TARGET_DIR:-target}/debug/sautikit-gateway demo

test: ## Everything: format, lints, Rust tests, fuzzing, SDK tests, browser tests
	@scripts/test.sh

fuzz: ## Search for what breaks reader, SDP, handshake, transactions and legs, a minute each
	@scripts/fuzz.sh

soak: release ## Half an hour of calls and a fault a minute: the bill proven, memory flat
	@loadtest/soak.sh

install: ## What building and testing need, where it is missing
	@scripts/install.sh

pages: install ## The SDK and the pages that the gateway embeds
	npm run --silent build

build: pages ## A debug build with the pages in it
	cargo build --workspace --locked

release: pages ## An optimised build with the pages in it
	cargo build --release --locked --package sautikit-gateway --package sautikit-loadtest

fmt: ## Format Rust, TypeScript and the rest
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
	npm run --silent format

clean: ## Remove what was built (not ./data)
	rm -rf target node_modules sdk/dist web/dist test-results
