# What one does here, by name. The work itself is in scripts/.

ARGS ?=
FEATURES ?=
STAGES ?=

.PHONY: help build run test check fmt bench clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{ printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the product: target/release/openautoglm; FEATURES="llama onnx" for GGUF and ONNX files
	@scripts/setup.sh $(if $(findstring llama,$(FEATURES)),llama,run)
	cargo build --locked --release -p openautoglm $(if $(FEATURES),--features "$(FEATURES)")

run: ## build and start it; ARGS="--data DIR --port N"
	@exec scripts/run.sh $(ARGS)

test: ## all that must hold; STAGES="fmt clippy" for some of it
	@exec scripts/test.sh $(STAGES)

check: ## the quick part of test: formatting, floors and sizes, lints
	@exec scripts/test.sh scripts fmt check clippy

fmt: ## format the code
	cargo fmt --all

bench: ## measure the promises; ARGS go to the benchmark
	cargo run --locked --release -p oag-bench -- $(ARGS)

clean: ## remove what was built, the shared cache of `make test` included
	@exec scripts/clean.sh
