# Thin on purpose: each target calls one file of scripts/.
.DEFAULT_GOAL := help
.PHONY: help demo test test-all check bench install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## install, draw two performers, swap one into the other: demo/result.mp4, demo/report.html
	@scripts/demo

test: ## install if needed and run the tests
	@scripts/test

test-all: ## the same with everything that takes long: a run killed fifty times
	@scripts/test --all

check: ## format, lint, types, architecture
	@scripts/check

bench: ## run the benchmarks, results in benchmarks/results/
	@scripts/bench

install: ## make .venv and install into it
	@scripts/install

clean: ## remove .venv, the demo and what tools cached
	rm -rf .venv demo build .pytest_cache .ruff_cache .coverage htmlcov src/understudy.egg-info
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
