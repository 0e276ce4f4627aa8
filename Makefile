# Bitcache's tasks. Each one installs what it needs first (.ci/setup).

PYTHON := .venv/bin/python
# How many tests run at the same time.
WORKERS ?= 4

# Each of the processes that the tests start would read all sources anew without its caches.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo chain plugin test check bench setup lock words clean

help: ## Show this list
	@printf 'make TARGET\n\n'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' Makefile

demo: ## Start the whole system on a private chain and print the addresses (CHECK=1: test it and stop; WORDPRESS=1: with a WordPress)
	@.ci/setup python node $(if $(CHECK),browser lightning) $(if $(WORDPRESS),wordpress)
	@.ci/setup lightning || echo '· going on without Lightning'
	@$(PYTHON) -m demo.run $(if $(CHECK),--check) $(if $(WORDPRESS),--wordpress)

chain: ## Start a private chain and a wallet, to try a server of your own
	@.ci/setup python node
	@$(PYTHON) -m demo.chain

# Nothing but the standard library: whoever wants the plugin needs no packages.
plugin: ## Write the WordPress plugin as a zip to dist/ (TO=FOLDER: to another folder)
	@python3 -m tests.support.wordpress_zip $(TO)

# What the tests need besides comes while the checks run; what is said of it stands below them.
# LNbits has an environment of its own and is begun at once; if it lacked what only comes with
# the rest, it is asked for again.
test: ## Run every check and every test
	@said=$$(mktemp) || exit; trap 'rm -f "$$said"' EXIT; \
	.ci/setup lnbits >/dev/null 2>&1 & \
	.ci/setup python widget && { \
	.ci/setup node clients postgresql browser lightning wordpress >"$$said" 2>&1 & others=$$!; \
	$(MAKE) --no-print-directory check && wait $$others && wait && \
	.ci/setup lnbits >>"$$said" 2>&1; }; \
	ready=$$?; wait; cat "$$said"; [ $$ready = 0 ]
	cd widget && npm test --silent
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: ## Format, lint, types and import directions, for Python and the widget
	@.ci/setup python widget
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	cd widget && npm run --silent lint && npm run --silent typecheck

bench: ## Measure the budgets
	@.ci/setup python node postgresql load lightning lnbits wordpress
	$(PYTHON) -m tests.bench

setup: ## Install everything that the other targets need
	@.ci/setup python node widget clients postgresql browser lightning lnbits wordpress

# The comments and addresses that pip-compile would add depend on the machine.
COMPILE := CUSTOM_COMPILE_COMMAND='make lock' .venv/bin/pip-compile --quiet --upgrade \
	--generate-hashes --strip-extras --allow-unsafe --no-annotate --no-build-isolation \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

lock: ## Pin the newest allowed Python packages, with hashes
	@.ci/setup python
	printf '%s\n' 'setuptools>=77' wheel | $(COMPILE) --output-file requirements-build.txt -
	$(COMPILE) --extra dev --extra nwc --extra postgresql --constraint requirements-build.txt \
		--output-file requirements-dev.txt setup.cfg
	$(COMPILE) --extra postgresql --constraint requirements-dev.txt \
		--output-file docs/deploy/requirements.txt setup.cfg

words: ## Bring the catalogues of translations up to date with the sources
	@.ci/setup python
	$(PYTHON) -m tests.support.words

clean: ## Remove everything that was installed or built in this folder
	rm -rf .venv build dist *.egg-info test-results
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .schemathesis
	rm -rf widget/node_modules demo/regtest/node_modules \
		tests/clients/node_modules tests/wordpress/php/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
