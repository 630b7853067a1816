# `make help` lists the targets. Every target is idempotent: a second run finds nothing to do.
# Needs Python 3.11 or newer and make; npm is optional (it brings MathJax into the website).
# `make -j 2 JOBS=1 THREADS=1 test` runs what is independent side by side, one core each (as .ci/run does).

SHELL := /bin/bash
.DELETE_ON_ERROR:

VENV ?= .venv
PRESET ?= cpu
JOBS ?= 2
THREADS ?=
PORT ?= 8000
BIN := $(VENV)/bin
# The first Python on the path that is new enough and can make a virtual environment.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

export MINILLM_RUNS ?= $(CURDIR)/runs
# What is missing is trained; MINILLM_FETCH=all (or before) fetches it, from MINILLM_MODELS if that is set.
export MINILLM_FETCH ?= none
export PIP_DISABLE_PIP_VERSION_CHECK := 1

ENV := $(VENV)/.installed
SITE := _build/html/.built
MODELS := _build/html/models/manifest.json
PASSED := build/passed
REPORTS := build/reports
# Says how long the command after it took, and how much of the cores it used.
TIMED = TIMEFORMAT='$(@F): %0R s, %0U core-seconds'; time
PACKAGE := $(shell find minillm -name '*.py' -o -name '*.js' -o -name '*.json')
TESTS := $(shell find tests -name '*.py' -o -name '*.mjs')
FRAME_TESTS := tests/test_frame.py tests/test_notebooks.py tests/test_api.py tests/test_portable.py tests/test_readme.py
TRIAL := $(shell find benchmarks -name '*.py')
TOOLS := $(wildcard tools/*.py)
CHAPTERS := $(sort $(wildcard book/*.ipynb))
TRAINED := $(foreach stage,base sft grpo dpo ppo lora,$(PASSED)/trained-$(stage))
# The chapters by the last stage that they need; one that is not named needs them all. What takes longest comes first.
NAMED = $(filter $(foreach number,$(1),$(PASSED)/$(number)_%),$(CHAPTERS:book/%.ipynb=$(PASSED)/%))
AFTER_BASE := $(call NAMED,01 02 03 04)
AFTER_SFT := $(call NAMED,05)
AFTER_PPO := $(call NAMED,06 07)
AFTER_LORA := $(call NAMED,08)
AFTER_ALL := $(filter-out $(AFTER_BASE) $(AFTER_SFT) $(AFTER_PPO) $(AFTER_LORA),$(CHAPTERS:book/%.ipynb=$(PASSED)/%))
CHECKED := $(AFTER_ALL) $(AFTER_PPO) $(AFTER_LORA) $(AFTER_SFT) $(AFTER_BASE)
# The summaries of trained stages, as far as a test of find holds.
TRAINED_STAGES = $(shell find "$(MINILLM_RUNS)/$(PRESET)" -name summary.json $(1) 2> /dev/null)
# So many targets at a time; with one job, as many as the make above allows.
SIDE_BY_SIDE := $(if $(filter-out 1,$(JOBS)),-j $(JOBS) $(if $(filter output-sync,$(.FEATURES)),--output-sync=target))
RUN := $(BIN)/minillm run --preset $(PRESET) $(if $(THREADS),--threads $(THREADS))
LIVE := $(wildcard book/_static/live/*)
PAGES := $(wildcard book/*.md) $(wildcard book/_static/*) $(LIVE) _config.yml _toc.yml
FRAME := pyproject.toml constraints.txt environment.yml Makefile README.md CITATION.cff CHANGELOG.md CONTRIBUTING.md \
	book/ruff.toml book/pytest.ini $(wildcard .github/workflows/*.yml .devcontainer/*)

.PHONY: help env course test retest unit notebooks lint format check normalise setup-cells execute site serve \
	smoke-chapters site-check site-picture cover recordings dist-check readme-check gpu-trial-here colab-trial colab-here set-repository clean distclean

help:  ## this list
	@awk -F ':.*## *' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(ENV)  ## virtual environment in .venv with the package and everything the targets need

$(ENV): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer with venv found; install one or give PYTHON=..."; exit 2; }
	@echo "Installing into $(VENV) with $(PYTHON) (a minute or two, downloads aside)"
	@"$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[book,test,dev]"
	@touch $@

course: env  ## train every stage on the embedded corpus, report, build the website
	@$(RUN)
	@$(MAKE) --no-print-directory site
	@echo "The book: _build/html/index.html (or: make serve). Talk to a model: $(BIN)/minillm chat"

test: lint unit notebooks  ## lint, unit tests, every chapter through nbval; only what changed since it passed
	@$(BIN)/python tools/test_summary.py $(REPORTS)

retest:  ## forget what passed and run all tests again
	@rm -rf $(PASSED) $(REPORTS)
	@$(MAKE) --no-print-directory test

lint: $(PASSED)/lint  ## ruff check, ruff format --check, types (mypy), the form of the chapters

$(PASSED)/lint: $(ENV) $(PACKAGE) $(TESTS) $(TOOLS) $(CHAPTERS) book/ruff.toml _config.yml
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32
	@$(BIN)/python tools/notebooks.py check
	@mkdir -p $(@D) && touch $@

unit: $(PASSED)/unit $(PASSED)/frame  ## unit tests and the examples in the docstrings

$(PASSED)/unit: $(ENV) $(PACKAGE) $(TRIAL) $(LIVE) $(addprefix tools/,axe.py browser.py content_policy.py control_names.py site_check.py) $(wildcard tools/record*.py) $(filter-out $(FRAME_TESTS),$(TESTS))
	@mkdir -p $(@D) $(REPORTS)
	@$(TIMED) env OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(if $(filter-out 1,$(JOBS)),-n $(JOBS)) $(FRAME_TESTS:%=--ignore=%) --junitxml=$(REPORTS)/unit.xml
	@touch $@

# The tests that read the pages and the files at the root: a change of prose runs these only.
$(PASSED)/frame: $(ENV) $(PACKAGE) $(FRAME_TESTS) $(TOOLS) $(FRAME) $(PAGES) $(CHAPTERS)
	@mkdir -p $(@D) $(REPORTS)
	@$(TIMED) env OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(FRAME_TESTS) --junitxml=$(REPORTS)/frame.xml
	@touch $@

notebooks: $(if $(filter 1,$(JOBS)),$(CHECKED),$(TRAINED))  ## every chapter through nbval (trains the stages they need first)
	@$(if $(filter 1,$(JOBS)),,$(MAKE) --no-print-directory $(SIDE_BY_SIDE) $(CHECKED))

# The stages are trained before the chapters, so that no two chapters wait for each other and no cell meets its time
# limit; again where someone deleted them.
$(TRAINED): $(PASSED)/trained-%: $(ENV) $(PACKAGE) $(shell test -d "$(MINILLM_RUNS)/$(PRESET)" || echo deleted)
	@mkdir -p $(@D)
	@$(TIMED) $(RUN) --stages $* > /dev/null
	@touch $@

.PHONY: deleted
deleted:

$(PASSED)/trained-sft: $(PASSED)/trained-base
$(PASSED)/trained-grpo $(PASSED)/trained-dpo $(PASSED)/trained-ppo $(PASSED)/trained-lora: $(PASSED)/trained-sft
$(AFTER_BASE): $(PASSED)/trained-base
$(AFTER_SFT): $(PASSED)/trained-sft
$(AFTER_PPO) $(AFTER_ALL): $(PASSED)/trained-ppo
$(AFTER_ALL): $(PASSED)/trained-dpo
$(AFTER_LORA) $(AFTER_ALL): $(PASSED)/trained-lora
$(AFTER_ALL): $(PASSED)/trained-grpo

$(CHECKED): $(PASSED)/%: book/%.ipynb book/pytest.ini book/conftest.py $(ENV) $(PACKAGE)
	@mkdir -p $(REPORTS)
	@$(TIMED) env OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --junitxml=$(REPORTS)/$*.xml $<
	@touch $@

smoke-chapters: env  ## every chapter at the preset `smoke`: no cell may need the sizes or the skill of `cpu`
	@$(TIMED) $(BIN)/python tools/smoke_chapters.py --jobs $(JOBS)

gpu-trial-here: $(PASSED)/gpu-trial  ## the trial of a GPU in small, on the CPU, so that it is ready when there is one

$(PASSED)/gpu-trial: $(ENV) $(PACKAGE) $(TRIAL) $(shell find tests/gpu tests/helpers -name '*.py')
	@mkdir -p $(@D)
	@$(TIMED) env OMP_NUM_THREADS=1 $(BIN)/python benchmarks/gpu_trial.py --device cpu --quick
	@touch $@

format: env  ## ruff: format and sort imports, chapters included
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

check: env  ## the form of the chapters only
	@$(BIN)/python tools/notebooks.py check

normalise: env  ## bring chapters into the normal form without running them
	@$(BIN)/python tools/notebooks.py normalise

setup-cells: env  ## write the current set-up cell into every chapter
	@$(BIN)/python tools/notebooks.py setup

execute: env  ## run chapters and store their outputs (CHAPTERS="book/01_token.ipynb"; default: all)
	@$(BIN)/python tools/notebooks.py execute $(CHAPTERS)

site: $(SITE) $(if $(call TRAINED_STAGES),$(MODELS))  ## the website in _build/html, from stored outputs, warnings are errors; in models/ what is trained

# The API pages are made from the package.
$(SITE): $(ENV) $(PAGES) $(CHAPTERS) $(PACKAGE) $(wildcard tools/api_*.py tools/book_site.py tools/content_policy.py tools/control_names.py tools/mathjax.py)
	@$(BIN)/python tools/mathjax.py build/static/mathjax
	@mkdir -p build
	@$(TIMED) $(BIN)/jupyter-book build . -W --keep-going -n -q > build/site.log || { cat build/site.log; exit 1; }
	@touch $@
	@echo "The website: _build/html/index.html"

# The trained stages of the preset as static files, which `minillm fetch` reads; again where one is newer than they are.
$(MODELS): $(SITE) $(if $(call TRAINED_STAGES,-newer $(MODELS)),changed)
	@$(BIN)/minillm publish $(@D) --preset $(PRESET) --if-any > build/publish.log
	@tail -n 1 build/publish.log

.PHONY: changed
changed:

serve: site  ## the website at http://localhost:8000 (PORT=...)
	@$(BIN)/python -m http.server --directory _build/html $(PORT)

site-check: site  ## open every page in headless Chromium: console errors, foreign requests, overflow (PICTURES=folder)
	@$(BIN)/python tools/site_check.py _build/html $(if $(PICTURES),--pictures $(PICTURES))

site-picture: site  ## draw the README's picture of the website again
	@$(BIN)/python tools/site_picture.py _build/html book/_static/site.png

cover: env  ## draw the cover, logo and icon again
	@$(BIN)/python tools/cover.py book/_static

recordings: env  ## make all recorded runs again (more than an hour; trains what is missing; needs npm)
	@$(BIN)/python tools/record_tokenizers.py
	@$(BIN)/python tools/record.py
	@$(BIN)/python tools/record_lora.py
	@$(BIN)/python tools/record_specialists.py
	@$(BIN)/python tools/record_dpo.py
	@$(BIN)/python tools/record_grpo.py
	@$(BIN)/python tools/record_verified.py
	@$(BIN)/python tools/record_web.py
	@$(BIN)/python tools/record_evaluation.py
	@$(BIN)/python tools/record_sft.py
	@$(BIN)/python tools/record_scaling.py
	@$(BIN)/python tools/record_chapters.py

dist-check: env  ## build the wheel and the source archive, and try both in bare environments
	@$(BIN)/python tools/dist_check.py

readme-check: env  ## the README's commands without make, to the letter, in a fresh clone of the last commit (RUNS=folder)
	@$(BIN)/python tools/readme_commands.py $(if $(RUNS),--runs "$(RUNS)")

colab-trial: env  ## each chapter alone in a bare environment and an empty folder, as Colab would run it (RUNS=folder)
	@$(BIN)/python tools/colab_trial.py $(if $(RUNS),--runs $(RUNS)) $(CHAPTERS)

colab-here:  ## the same in the Python at hand, without .venv (for Colab's own image)
	@"$(PYTHON)" tools/colab_trial.py --here $(CHAPTERS)

set-repository: env  ## make URL=https://github.com/OWNER/NAME [BRANCH=main] the address everywhere
	@test -n "$(URL)" || { echo "error: give URL=https://github.com/OWNER/NAME"; exit 2; }
	@$(BIN)/python tools/repository.py $(URL) $(BRANCH)

clean:  ## remove what was built (not .venv, not runs)
	rm -rf _build build book/api .pytest_cache .mypy_cache .ruff_cache book/.ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## remove the virtual environment and the trained stages too
	rm -rf $(VENV) runs
