# Two commands for a newcomer: `make run` and `make test`. Everything sets itself up.
PYTHON ?= python3
STORE ?= embedded
HOST ?= 127.0.0.1
PORT ?= 8000
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: run test check lint types walls format demo

$(VENV)/.ready: requirements.txt requirements-dev.txt
	@echo "Setting up $(VENV), once: about a minute."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check -r requirements-dev.txt
	touch $@

run: $(VENV)/.ready
	$(PY) -m infra.local --store $(STORE) --host $(HOST) --port $(PORT)

demo: $(VENV)/.ready
	$(PY) -m infra.local.demo --url http://127.0.0.1:$(PORT) $(if $(MALL),--mall $(MALL))

check: $(VENV)/.ready
	$(MAKE) --no-print-directory -j3 lint types walls

lint:
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

types:
	$(VENV)/bin/mypy

walls:
	$(PY) -m pytest tests/unit/test_imports.py

format: $(VENV)/.ready
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# Races wait more than they work, so that three have room on two cores. One endpoint has one pair of tables: who brings
# their own gets one process.
PROCESSES ?= $(if $(DYNAMODB_ENDPOINT),1,3)

test: check
	$(PY) -m pytest -n $(PROCESSES) --dist loadgroup

.PHONY: audit

# Whether anything that is deployed has a published weakness; AUDIT_REQUIRED=1 fails where nobody can be asked.
audit: $(VENV)/.ready
	$(VENV)/bin/pip install -q --disable-pip-version-check pip-audit==2.10.1
	$(PY) -m infra.audit

STAGE ?= dev
REGION ?= $(or $(AWS_REGION),$(AWS_DEFAULT_REGION))

.PHONY: package deploy

# EGRESS=1: transfers by WeChat Pay leave from an address of the stack's own, see docs/payouts.md. ARCHITECTURE=arm64:
# the functions run on Graviton processors, see docs/deploying.md.
package: $(VENV)/.ready
	$(PY) -m infra.package $(STAGE) --region $(or $(REGION),$(error Say where, as in REGION=cn-northwest-1)) \
		$(if $(EGRESS),--egress) $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE))

deploy: $(VENV)/.ready
	$(PY) -m infra.deploy $(STAGE) --region $(or $(REGION),$(error Say where, as in REGION=cn-northwest-1)) \
		--bucket $(or $(BUCKET),$(error Name an S3 bucket of yours in that region, as in BUCKET=my-bucket)) \
		$(if $(EGRESS),--egress) $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) $(SETTINGS)

.PHONY: docs examples

docs: $(VENV)/.ready
	$(PY) -m infra.docs

# The sample call of every route, made again, as the examples of the contract.
examples: $(VENV)/.ready
	EXAMPLES=write $(PY) -m pytest tests/fuzz/test_examples.py -k asked_and_answered
	$(PY) -m infra.docs

.PHONY: bench bench-jobs

# Budgets, calls, units, CPU, cold starts, scale and cost, into docs/performance.md; some ten minutes, on a machine that
# does nothing else.
bench: $(VENV)/.ready
	$(PY) -m bench

# 100,000 commissions of 5,000 promoters settled, and 10,000 groups ended that end in the same minute, in calls and
# write units; some minutes.
bench-jobs: $(VENV)/.ready
	$(PY) -m bench.settlement
	$(PY) -m bench.expiry

SOAK_EXAMPLES ?= 2000
SOAK_TOWNS ?= 20
SOAK_TOWN_STEPS ?= 1000
SOAK_SEED ?= $(shell date +%s)

RACE_ROUNDS ?= 5
RACE_CROWD ?= 64

LOAD_SECONDS ?= 30
LOAD_SOAK ?= 600
LOAD_SEED ?= 1

FUZZ_EXAMPLES ?= 20
FUZZ_SEED ?= $(shell date +%s)

.PHONY: soak mutations races faults fuzz load restore-rehearsal

# Each storage call of every operation failed in each way, and every job killed after each of its writes, into
# docs/proof-faults.md and docs/proof.md; `make test` plays some of them.
faults: $(VENV)/.ready
	rm -rf .cache/faults && mkdir -p .cache/faults
	FAULTS=all FAULT_REPORT=$(CURDIR)/.cache/faults $(PY) -m pytest -n $(PROCESSES) --dist loadgroup tests/faults; \
		ended=$$?; $(PY) -m tests.faults.report .cache/faults; exit $$ended

# Every race of `make test` with twice the crowd, and five times, each time with other dice, into docs/proof-races.md.
races: $(VENV)/.ready
	rm -rf .cache/races && mkdir -p .cache/races
	RACE_REPORT=$(CURDIR)/.cache/races RACE_ROUNDS=$(RACE_ROUNDS) RACE_CROWD=$(RACE_CROWD) \
		$(PY) -m pytest -n $(PROCESSES) --dist loadgroup tests/races; \
		ended=$$?; $(PY) -m tests.races.report .cache/races; exit $$ended

# Calls that nobody meant, at every operation as everybody who may, into docs/proof.md; other ones each time.
fuzz: $(VENV)/.ready
	rm -rf .cache/fuzz && mkdir -p .cache/fuzz
	FUZZ_REPORT=$(CURDIR)/.cache/fuzz FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) FUZZ_SEED=$(FUZZ_SEED) \
		$(PY) -m pytest tests/fuzz/test_calls.py; ended=$$?; \
		$(PY) -m tests.fuzz.report .cache/fuzz "$(FUZZ_EXAMPLES) of each kind, seed $(FUZZ_SEED)"; exit $$ended

# The model tests with more examples than CI has time for, and then towns in which all rooms live for months, into
# docs/proof.md; other ones each time. The seed is told, to play them again: that of a town is its own.
soak: $(VENV)/.ready
	@echo "SOAK_SEED=$(SOAK_SEED) SOAK_EXAMPLES=$(SOAK_EXAMPLES) SOAK_TOWNS=$(SOAK_TOWNS) SOAK_TOWN_STEPS=$(SOAK_TOWN_STEPS)"
	SOAK_SEED=$(SOAK_SEED) SOAK_EXAMPLES=$(SOAK_EXAMPLES) $(PY) -m pytest tests/model
	rm -rf .cache/soak && mkdir -p .cache/soak
	SOAK_REPORT=$(CURDIR)/.cache/soak SOAK_SEED=$(SOAK_SEED) SOAK_TOWNS=$(SOAK_TOWNS) \
		SOAK_TOWN_STEPS=$(SOAK_TOWN_STEPS) $(PY) -m pytest tests/soak; \
		ended=$$?; $(PY) -m tests.soak.report .cache/soak; exit $$ended

# Every condition of every write switched off in turn, into docs/proof-conditions.md and docs/proof.md; it takes hours,
# or, with ROOM=coupons, some minutes for one room. A run that was broken off goes on where it was.
mutations: $(VENV)/.ready
	$(PY) -m tests.mutations --kept .cache/mutations $(if $(ROOM),--room $(ROOM))

# A mixed day against the local stack on DynamoDB Local, raised until it bends, then ten minutes at half of that, and an
# audit of all rows, into docs/proof.md; some twenty minutes, on a Linux machine that does nothing else.
load: $(VENV)/.ready
	$(PY) -m bench.load --seconds $(LOAD_SECONDS) --soak $(LOAD_SOAK) --seed $(LOAD_SEED)

# A truth table put back while money went on, the drill of docs/restore.md broken off at many places, into docs/proof.md;
# and rows that change their shape meanwhile.
restore-rehearsal: $(VENV)/.ready
	rm -rf .cache/restore && mkdir -p .cache/restore
	RESTORE_REPORT=$(CURDIR)/.cache/restore $(PY) -m pytest tests/integration/test_restoring.py \
		tests/integration/test_migrating.py tests/integration/test_money_out.py
	$(PY) -m tests.restore_report .cache/restore
