# Every target does its own set-up: `make demo` and `make test` work in a fresh clone.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3 || echo python3.11)
BIN := .venv/bin

.PHONY: setup demo test lint types format bench lock clean

setup: .venv/.done

.venv/.done: requirements.txt setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)) and "captioner needs Python 3.11 or 3.12, got " + sys.version + "; make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	$(BIN)/pip check
	touch $@

demo: setup
	$(BIN)/captioner demo --output demo

# A file's tests stay together: they share what is slow to make. Else reordered, a file of one slow test
# would run last and alone. One process more than cores: some tests wait.
test: setup
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations 25

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# make bench IMAGES="photographs/*.jpg" BUNDLE=work/bundle; without them, on what `make demo` left.
# DATASET=work/dataset (with stored features), RUN=work/run and WEIGHTS=FILE measure training, search and
# stored pixels too.
BUNDLE ?= demo/bundle
IMAGES ?= demo/scenes/images/*.jpg
COUNTS ?= 1000 5500

bench: setup
	$(BIN)/python -m benchmarks.preprocessing decode --images "$(IMAGES)"
	$(BIN)/python -m benchmarks.preprocessing memory --images "$(IMAGES)" --counts $(COUNTS)
	$(BIN)/python -m benchmarks.preprocessing captions
	$(BIN)/python -m benchmarks.clouds --images "$(IMAGES)"
	$(BIN)/python -m benchmarks.stages --bundle $(BUNDLE) --images "$(IMAGES)"
	$(BIN)/python -m benchmarks.captioning loops --bundle $(BUNDLE) --images "$(IMAGES)"
	$(BIN)/python -m benchmarks.engines --bundle $(BUNDLE) --images "$(IMAGES)" --rounds 3
	$(BIN)/python -m benchmarks.captioning photographs --bundle $(BUNDLE) --count 400
	$(BIN)/python -m benchmarks.captioning growth --bundle demo/bundle
	$(BIN)/python -m benchmarks.planning
	$(if $(DATASET),$(BIN)/python -m benchmarks.training features --dataset $(DATASET))
	$(if $(DATASET),$(BIN)/python -m benchmarks.training features --dataset $(DATASET) --as-if VGG19 --steps 2)
	$(if $(DATASET),$(BIN)/python -m benchmarks.training stock --dataset $(DATASET))
	$(if $(DATASET),$(BIN)/python -m benchmarks.training precision --dataset $(DATASET))
	$(if $(RUN),$(BIN)/python -m benchmarks.generation --run $(RUN))
	$(if $(WEIGHTS),$(BIN)/python -m benchmarks.pixels --images "$(IMAGES)" --encoder-weights $(WEIGHTS))

lock: setup
	$(BIN)/uv pip compile setup.py --extra dev --python-version 3.11 --no-annotate --output-file requirements.txt

clean:
	rm -rf .venv demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
