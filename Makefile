# Copyright: (c) 2026, the quorate.swarm contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Every target installs what it needs: Debian packages through apt-get (as root or by sudo), Python packages into .venv.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test lint unit integration long faults docs bench matrix lab lab-down build clean checks-ready lab-ready

PYTHON := .venv/bin/python
CHECKS := $(PYTHON) tests/run_checks.py
# The lab needs root. sudo forgets PATH, which names the tools of .venv.
ROOT := $(if $(filter-out 0,$(shell id -u)),sudo) env PATH="$(CURDIR)/.venv/bin:$$PATH" \
	ANSIBLE_COLLECTIONS_PATH="$(CURDIR)/build"

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22

demo: lab-ready ## back up a swarm of three managers, lose all three, bring it back
	@$(ROOT) tests/demo/demo $(ARGS)

test: lab-ready ## run all checks and all tests
	@$(CHECKS)

lint: checks-ready ## run the checks that only read the files
	@$(CHECKS) lint

unit: checks-ready ## run the unit tests on the oldest and the newest Python there is
	@$(CHECKS) units

integration: lab-ready ## run the tests on real hosts; ARGS="tests/scenarios -k backup" runs some of them
	@$(CHECKS) scenarios -- $(ARGS)

long: lab-ready ## run those tests on real hosts that take too long for "make test"
	@$(CHECKS) long

faults: lab-ready ## hit every operation with faults at its steps, for an hour, and write docs/faults.md; ARGS="--list"
	@$(ROOT) $(PYTHON) tests/faults $(ARGS)

docs: checks-ready ## build the documentation site
	@tests/setup venv build/docs/venv docs/site/requirements.txt
	@$(CHECKS) docs

bench: lab-ready ## measure what it costs beside doing it by hand, for an hour; ARGS="downtime fleet" measures some of it
	@tests/setup venv build/bench/venv benchmarks/requirements.txt
	@$(ROOT) $(PYTHON) benchmarks $(ARGS)
	@build/bench/venv/bin/python benchmarks/page.py

matrix: lab-ready ## test with every supported version, for hours; ARGS="core --only 2.16" runs some of it
	@$(PYTHON) tests/run_matrix.py $(ARGS)

lab: lab-ready ## bring up three managers and a worker to play with
	@$(ROOT) tests/lab/lab up --managers 3 --workers 1
	@$(ROOT) tests/lab/lab inventory > build/inventory
	@echo
	@echo 'The inventory of the lab is $(CURDIR)/build/inventory. Next, as root:'
	@echo '  tests/lab/lab status'
	@echo '  tests/lab/lab ssh m1 docker node ls'
	@echo '  ANSIBLE_COLLECTIONS_PATH=build .venv/bin/ansible-playbook -i build/inventory quorate.swarm.backup'
	@echo '  make lab-down'

lab-down: ## take the hosts of "make lab" down, leaving nothing behind
	@$(ROOT) tests/lab/lab down
	@rm -f build/inventory

build: checks-ready ## build the tarball of the collection
	@$(CHECKS) build

clean: ## remove everything that the other targets made in this directory
	rm -rf .venv build .ansible .mypy_cache .pytest_cache .ruff_cache

checks-ready:
	@tests/setup packages tests/packages.txt
	@tests/setup venv

lab-ready: checks-ready
	@tests/setup packages tests/lab/packages.txt
	@$(PYTHON) tests/stage.py >/dev/null
