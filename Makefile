# Two commands do all the set-up on a fresh Debian: `make demo` and `make test`. Each installs what is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
NATIVE := $(wildcard gateway/sip/native/*)

BUILD_PACKAGES := build-essential ca-certificates xz-utils swig uuid-dev libssl-dev libsrtp2-dev libopus-dev \
	libbcg729-dev libsamplerate0-dev libspeexdsp-dev
RUN_PACKAGES := espeak-ng
TEST_PACKAGES := sip-tester baresip-core kamailio sipvicious sipsak tshark prometheus

.PHONY: help setup demo run test lint unit bench docs lock clean test-packages

help: ## this list
	@echo 'Switchhook. Start with: make demo'
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.pjsip ## .venv with everything, PJSIP built (3 minutes the first time)

demo: setup ## place a call to the built-in bot and watch it; SCENE=consult shows an agent's consult
	@$(VENV)/bin/switchhook demo $(SCENE)

run: setup ## leave the gateway up for your own softphone
	@echo 'Starting on 127.0.0.1. When it says ready, call it from this machine:'
	@echo '  with a softphone   sip:100@127.0.0.1 (reception bot) or sip:200@127.0.0.1 (echo bot), no account needed'
	@echo '  from a terminal    $(VENV)/bin/switchhook call sip:100@127.0.0.1 --digits 1ww9'
	@echo 'Ctrl-C ends it.'
	@$(VENV)/bin/switchhook serve

test: setup test-packages lint ## all tests and linters
	$(PY) -m pytest -q

lint: setup ## ruff, mypy --strict, import-linter
	$(VENV)/bin/ruff check gateway tests
	$(VENV)/bin/ruff format --check gateway tests
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

unit: setup ## the quick tests only (no SIP)
	$(PY) -m pytest -q tests/unit

bench: setup test-packages ## figures of one run: CPU, calls per second, latency, memory, gaps, transfers, consults
	$(PY) tests/bench/run.py $(BENCH)

docs: setup ## write again what is made from code: state diagram, dialplan schema, OpenAPI
	PYTHONPATH=. $(PY) tests/generated.py

lock: $(VENV)/bin/python ## resolve the newest versions of all Python packages into .requirements.lock
	$(PY) -m pip install -q uv
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --upgrade --extra dev --generate-hashes \
		--no-emit-index-url --no-header --no-annotate -o .requirements.lock pyproject.toml

clean: ## remove what was made here (the PJSIP wheel stays in its cache)
	rm -rf $(VENV) var build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

test-packages: ; @$(call need,$(TEST_PACKAGES))

# ── what `setup` does, each step once ────────────────────────────────────────────────────────────────

# Install the Debian packages that are missing, as root or through sudo; say which, where neither is to be had. Their
# services (kamailio, prometheus) are not started: SYSTEMD_OFFLINE.
define need
missing=(); for p in $(1); do \
	dpkg-query -W -f '$${Status}' "$$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$$p"); done; \
if [ $${#missing[@]} -gt 0 ]; then \
	if [ "$$(id -u)" = 0 ]; then as=(); elif command -v sudo >/dev/null; then as=(sudo); \
	else echo "missing Debian packages: as root, run: apt-get install $${missing[*]}" >&2; exit 1; fi; \
	echo "installing $${missing[*]}"; \
	log=$$(mktemp); \
	"$${as[@]}" apt-get update -q >"$$log" 2>&1 || true; \
	"$${as[@]}" env DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 apt-get install -yq --no-install-recommends "$${missing[@]}" \
		>>"$$log" 2>&1 || { tail -20 "$$log" >&2; exit 1; }; \
	rm -f "$$log"; \
fi
endef

$(VENV)/bin/python:
	@$(call need,$(BUILD_PACKAGES) $(RUN_PACKAGES))
	@command -v $(PYTHON) >/dev/null || { $(call need,python3 python3-venv python3-dev); }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'Python 3.11 or newer is needed: install python3, or say make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@# Debian's own Python comes without venv and headers; one from elsewhere has both.
	@$(PYTHON) -c 'import ensurepip, os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null || \
		{ $(call need,python3-venv python3-dev); }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.packages: .requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PY) -m pip install -q --disable-pip-version-check --require-hashes -r .requirements.lock
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.pjsip: $(NATIVE) $(VENV)/.packages
	@wheel=$$(gateway/sip/native/build.sh --python $(abspath $(PY)) | tail -n 1); \
	$(PY) -m pip install -q --disable-pip-version-check --no-deps --no-index --force-reinstall "$$wheel"
	@touch $@
