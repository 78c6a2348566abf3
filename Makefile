# SPDX-License-Identifier: MIT
# One target for each thing a contributor does. `make run` and `make test` start from a bare clone.
# All compiler flags live in setup.py; this file never repeats one.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
HOST   ?= 127.0.0.1
PORT   ?= 8000
WORKERS ?= 4

C_FILES   := $(wildcard asgiserver/core/*.[ch] asgiserver/core/*/*.[ch] jsrt/core/*.[ch])
CXX_FILES := $(wildcard jsrt/v8/*.cc jsrt/v8/*.h jsrt/v8/*.hh)
REACT     := examples/react_ssr/build/server.js

.PHONY: help setup build run test unit-c leak asan test-asyncio autobahn bench bench-counts bench-seed bench-js bench-peers bench-js-peers lint format clean distclean
.DEFAULT_GOAL := help

help:
	@echo "make run         the demo: React rendered inside FastAPI, $(WORKERS) workers, http://$(HOST):$(PORT)/"
	@echo "make test        all tests: unit, C unit, integration on real sockets, examples"
	@echo "make lint        the gate for style and static analysis; make format mends what it can"
	@echo "make asan leak   the tests under AddressSanitizer and UBSan; the leak checks"
	@echo "make test-asyncio  CPython's and uvloop's test suites over casgi's event loop"
	@echo "make autobahn    the Autobahn WebSocket test suite (needs a Python 2.7)"
	@echo "make rolling     workers, programs and code exchanged under load for half a minute each"
	@echo "make bench       micro-benchmarks; make bench-seed compares with uvicorn + never_jscore"
	@echo "make bench-peers  CPU time of a request beside uvicorn, granian and fastpysgi, case by case"
	@echo "make bench-counts  instructions of a request, stage by stage, beside docs/performance.md"
	@echo "make setup       system packages, $(VENV), both extensions (every target does this first)"

# Tests run in as many processes as there are cores (JOBS=1: one), each file in one of them.
JOBS   ?= $(shell nproc)
SPREAD := --tx '$(JOBS)*popen//python=$(abspath $(PY)) -X dev' --dist loadfile

# ---- set-up -------------------------------------------------------------------------------------

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml tools/setup-system
	PYTHON=$(PYTHON) tools/setup-system
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "casgi needs Python 3.11 or later, this is " + sys.version)'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q -U pip "setuptools>=77" wheel
	mkdir -p build
	$(PY) -m pip install --no-build-isolation -e .[dev,frameworks] >build/pip.log 2>&1 || { tail -n 30 build/pip.log; exit 1; }
	touch $@

build: setup
	$(PY) setup.py -q build_ext --inplace

$(REACT): $(wildcard examples/react_ssr/src/*) examples/react_ssr/package.json tools/build-react tools/npm | setup
	tools/build-react

# ---- run and test -------------------------------------------------------------------------------

run: build $(REACT)
	$(VENV)/bin/casgi examples.react_ssr.app:app --host $(HOST) --port $(PORT) --workers $(WORKERS) \
	  --js $(REACT) --js examples/fastapi_js/lib.js

test: build $(REACT)
	$(PY) -X dev -m pytest tests --ignore tests/leak $(SPREAD) $(PYTEST)

unit-c: build
	$(PY) -m pytest -q tests/unit -k "c_unit or jsv8 or wire"

leak: build
	$(PY) -m pytest -q tests/leak $(PYTEST)

# The same tests over extensions built with sanitizers, in a private build folder. Not tests/leak:
# AddressSanitizer holds on to freed memory.
asan: setup $(REACT)
	CASGI_BUILD_TAG=asan CASGI_SANITIZE=address $(PY) setup.py -q build_ext
	tools/with-asan $(PY) -m pytest -q --timeout 240 tests/unit tests/js tests/integration \
	  tests/conformance $(PYTEST)

# CPython's and uvloop's own tests over casgi's loop (those of uvloop are downloaded).
test-asyncio: build
	$(PY) -P tests/conformance/asyncio/cpython.py $(ASYNCIO)
	$(PY) -P tests/conformance/asyncio/uvloop_suite.py $(ASYNCIO)

# Half a minute for each of the sixteen; nginx and HAProxy where they are installed.
rolling: build
	CASGI_ROLLING_SECONDS=$${CASGI_ROLLING_SECONDS:-30} $(PY) -m pytest -q -s tests/integration/test_rolling.py

# The Autobahn WebSocket suite, where there is a Python 2.7 (PYTHON27=…); CASES='12.* 13.*' for some.
autobahn: build
	tools/autobahn $(CASES)

# ---- measure ------------------------------------------------------------------------------------

bench: bench-js
	$(PY) tests/bench/loop_bench.py
	$(PY) tests/bench/loop_echo.py

bench-js: build
	$(PY) tests/bench/js_micro.py

bench-counts: build
	$(PY) tests/bench/counts.py $(BENCH)

bench-js-peers: build
	tools/peers --js
	$(PY) tests/bench/js_peers.py $(BENCH)
	$(PY) tests/bench/js_engine.py --peer-python build/peers-js/bin/python

bench-peers: build
	$(PY) tests/bench/http_peers.py --json build/bench-peers.json $(BENCH)

bench-seed: build
	$(PY) tests/bench/seed.py --json build/bench-seed.json $(BENCH)

# ---- gates --------------------------------------------------------------------------------------

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	tools/lint-c $(C_FILES) $(CXX_FILES)
	tools/check-headers

format: setup
	$(PY) -m ruff check --fix -q .
	$(PY) -m ruff format -q .
	clang-format -i $(C_FILES) $(CXX_FILES)

clean:
	rm -rf build/temp build/tag-* build/lib build/llhttp asgiserver/*.so jsrt/*.so *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf build $(VENV) examples/react_ssr/build examples/react_ssr/node_modules
