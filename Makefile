# Two commands for a newcomer: `make run` and `make test`. Everything sets itself up.
PYTHON ?= python3
STORE ?= embedded
HOST ?= 127.0.0.1
PORT ?= 8000
VENV := .venv
PY := $(VENV)/bin/python

.PHONY: run test check format demo

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
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(PY) -m pytest tests/unit/test_imports.py

format: $(VENV)/.ready
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# Races wait more than they work, so that three have room on two cores. One endpoint has one pair of tables: who brings
# their own gets one process.
PROCESSES ?= $(if $(DYNAMODB_ENDPOINT),1,3)

test: check
	$(PY) -m pytest -n $(PROCESSES) --dist loadgroup

STAGE ?= dev
REGION ?= $(or $(AWS_REGION),$(AWS_DEFAULT_REGION))

.PHONY: package deploy

# EGRESS=1: transfers by WeChat Pay leave from an address of the stack's own, see docs/payouts.md.
package: $(VENV)/.ready
	$(PY) -m infra.package $(STAGE) --region $(or $(REGION),$(error Say where, as in REGION=cn-northwest-1)) \
		$(if $(EGRESS),--egress)

deploy: $(VENV)/.ready
	$(PY) -m infra.deploy $(STAGE) --region $(or $(REGION),$(error Say where, as in REGION=cn-northwest-1)) \
		--bucket $(or $(BUCKET),$(error Name an S3 bucket of yours in that region, as in BUCKET=my-bucket)) \
		$(if $(EGRESS),--egress) $(SETTINGS)

.PHONY: docs

docs: $(VENV)/.ready
	$(PY) -m infra.docs

.PHONY: bench

# 100,000 commissions of 5,000 promoters settled, and 10,000 groups ended that end in the same minute, in calls and
# write units; some minutes.
bench: $(VENV)/.ready
	$(PY) -m bench.settlement
	$(PY) -m bench.expiry

SOAK_EXAMPLES ?= 2000
SOAK_SEED ?= $(shell date +%s)

RACE_ROUNDS ?= 5
RACE_CROWD ?= 64

.PHONY: soak mutations races

# Every race of `make test` with twice the crowd, and five times, each time with other dice, into docs/proof-races.md.
races: $(VENV)/.ready
	rm -rf .cache/races && mkdir -p .cache/races
	RACE_REPORT=$(CURDIR)/.cache/races RACE_ROUNDS=$(RACE_ROUNDS) RACE_CROWD=$(RACE_CROWD) \
		$(PY) -m pytest -n $(PROCESSES) --dist loadgroup tests/races; \
		ended=$$?; $(PY) -m tests.races.report .cache/races; exit $$ended

# The model tests with more examples than CI has time for, other ones each time; the seed is told, to play them again.
soak: $(VENV)/.ready
	@echo "SOAK_SEED=$(SOAK_SEED) SOAK_EXAMPLES=$(SOAK_EXAMPLES)"
	SOAK_SEED=$(SOAK_SEED) SOAK_EXAMPLES=$(SOAK_EXAMPLES) $(PY) -m pytest tests/model

# Every condition of every write switched off in turn, into docs/proof-conditions.md and docs/proof.md; it takes hours,
# or, with ROOM=coupons, some minutes for one room. A run that was broken off goes on where it was.
mutations: $(VENV)/.ready
	$(PY) -m tests.mutations --kept .cache/mutations $(if $(ROOM),--room $(ROOM))
