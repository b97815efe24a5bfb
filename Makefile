# What a developer types. Each target first installs what it needs; see scripts/apt-packages.txt.

node := node_modules/.bin/node --disable-warning=ExperimentalWarning
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help demo test soak check fix bench conformance image clean
.PHONY: setup setup-runtime setup-test setup-bench setup-conformance

help: ## Lists the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

demo: setup-runtime ## Two nodes in network namespaces, shown step by step (root, a minute)
	@bin/innermesh demo

test: setup-test ## Every test but the long ones (root, Go; 30 min, 50 the first time)
	@$(node) scripts/test.ts

soak: setup-test ## The tests of faults with their full durations (root, Go; hours)
	@$(node) scripts/test.ts --soak

check: setup ## Types, lint, format, tidiness and unit tests (no root, half a minute)
	@$(node) scripts/check.ts

fix: setup ## Formats and repairs what tools can repair
	@biome format --write --log-level=warn
	@oxlint --type-aware --fix

bench: setup-bench ## Measures beside the peers, all suites or SUITE=name (root, Go; 20 min)
	@$(node) scripts/bench.ts $(SUITE)

conformance: setup-conformance ## The APIs' own suites on two real nodes, or SUITE=name (root, Go)
	@$(node) scripts/conformance.ts $(SUITE)

image: setup-runtime ## The root file system of the container image, in build/image
	@$(node) scripts/image.ts

clean: ## Removes what the other targets made in this checkout
	rm -rf build bench/results node_modules

setup:
	@scripts/setup

setup-runtime:
	@scripts/setup runtime

setup-test:
	@scripts/setup runtime test

setup-bench:
	@scripts/setup runtime test bench

setup-conformance:
	@scripts/setup runtime test conformance
