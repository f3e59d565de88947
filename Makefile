# Everything a developer or CI runs. `make run` and `make test` do their own set-up.
.DEFAULT_GOAL := help
SHELL := /bin/bash
RELEASE := target/release/sluicegate
DEBUG := target/debug/sluicegate

help: ## tell the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

run: setup-wasm release plugins ## build all, start the demo behind the proxy, say what to try
	@echo "== building the demo's chat backend"
	cargo build --release --package sluicegate-chat
	@examples/demo/run.sh

test: setup-wasm setup-peers lint ## everything CI runs
	@echo "== building host and examples"
	cargo build --workspace --all-targets
	@echo "== building plugins"
	$(DEBUG) plugin build plugins/* tests/plugins/*
	examples/javascript/sluicegate.sh
	@echo "== running all tests"
	cargo test --workspace

lint: ## formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

release: ## the binary, at target/release/sluicegate
	@echo "== building the proxy (wasmtime takes some minutes the first time)"
	cargo build --release --package sluicegate

release-pgo: setup-wasm release ## the same by profile-guided optimisation, at target/pgo/sluicegate; takes three times as long
	$(RELEASE) plugin build plugins/* tests/plugins/*
	@scripts/release-pgo.sh

plugins: release setup-wasm ## every reference plugin, at target/plugins/NAME.wasm
	@echo "== building the reference plugins"
	$(RELEASE) plugin build plugins/*

example-javascript: ## the example plugin in JavaScript, at target/plugins/javascript.wasm
	@examples/javascript/sluicegate.sh

bench: setup-wasm release ## beside nginx, HAProxy, Envoy and Node's ws: what messages, handshakes, requests and sessions cost
	@bench/peers/setup.sh
	$(RELEASE) plugin build plugins/* tests/plugins/*
	cargo run --release --package sluicegate-bench -- compare $(ARGUMENTS)

profile: setup-wasm release ## where the proxy's time goes: make profile COLUMN=message-128 CONTENDER=sluicegate
	@bench/peers/setup.sh
	$(RELEASE) plugin build plugins/* tests/plugins/*
	cargo run --release --package sluicegate-bench -- profile $(COLUMN) $(CONTENDER) $(ARGUMENTS)

instructions: release ## how many instructions an operation takes, beside nginx, by callgrind
	@bench/peers/setup.sh valgrind
	cargo run --release --package sluicegate-bench -- instructions $(ARGUMENTS)

bench-plugins: setup-wasm release ## what a plugin costs per request, message and session
	$(RELEASE) plugin build plugins/* tests/plugins/*
	cargo bench --package sluicegate --bench plugins

bench-idle: setup-wasm release ## what an idle session costs in memory
	$(RELEASE) plugin build plugins/* tests/plugins/*
	cargo run --release --package sluicegate-bench -- idle

soak: setup-wasm setup-peers ## 9,000 live sessions while their plugins are swapped; prints memory and reload times
	cargo build --package sluicegate
	$(DEBUG) plugin build tests/plugins/*
	ulimit -n 20000 && SLUICEGATE_SOAK_SESSIONS=9000 \
	  cargo test --package sluicegate-tests -- --nocapture nothing_is_lost_when_plugins_are_swapped_under_load

conformance: setup-wasm release ## Autobahn's fuzzing client through the proxy, compared with the same server reached directly
	$(RELEASE) plugin build tests/plugins/*
	tests/conformance/run.sh

conformance-tls: release ## what sslyze finds wrong with TLS at default settings
	tests/conformance/tls.sh

setup-wasm: ## a compiler for wasm32-unknown-unknown, where there is none
	@scripts/setup-wasm.sh

setup-peers: ## what the tests talk to: Node ws, Python websockets
	@tests/peers/setup.sh

.PHONY: help run test lint release release-pgo plugins example-javascript bench profile instructions bench-plugins bench-idle conformance conformance-tls soak setup-wasm setup-peers
