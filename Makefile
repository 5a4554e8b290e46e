# Everything works from a fresh clone on a machine with Python 3.10 or later: each target makes what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?= $(COKE_EDGE_DATA)

.PHONY: demo demo-train demo-model fast-model test pycuda check lint types bench bench-peers peers-data bench-head gpu-check trt-api benchmark-docs experiments clean

demo: $(VENV)/.runtime  ## keypoints on a photo, with the model in the package
	$(BIN)/coke-edge demo

demo-train: $(VENV)/.dev  ## generate a data set, train on it, export, evaluate, detect: the whole loop in minutes
	rm -rf out/demo-train
	$(BIN)/coke-edge data generate out/demo-train/data --count 300
	$(BIN)/coke-edge train --data "coco:out/demo-train/data/annotations.json" --recipe tiny --out out/demo-train/run
	$(BIN)/coke-edge export out/demo-train/run -o out/demo-train/part.coke
	$(BIN)/coke-edge eval out/demo-train/part.coke --data "coco:out/demo-train/data/annotations.json" --split test
	$(BIN)/coke-edge detect out/demo-train/part.coke --source out/demo-train/data/images --frames 8 --sink out/demo-train/pictures

demo-model: $(VENV)/.dev  ## train the model that the package ships (LSP and backgrounds in $$COKE_EDGE_DATA; 75 minutes on one core of two)
	@test -d "$(DATA)/lsp" || { echo "set COKE_EDGE_DATA to the folder that holds lsp/ and backgrounds/"; exit 2; }
	$(BIN)/coke-edge train --data "lsp:$(DATA)/lsp" --recipe edge $(DEMO_OCCLUDERS) --epochs 100 --out out/demo-model/run
	$(BIN)/coke-edge eval out/demo-model/run --data "lsp:$(DATA)/lsp" --split test --report out/demo-model/test
	$(BIN)/coke-edge export out/demo-model/run -o coke_edge/assets/person.coke \
	    --evaluation out/demo-model/test/evaluation.json
	$(BIN)/coke-edge eval demo --data "lsp:$(DATA)/lsp" --split test

fast-model: $(VENV)/.dev  ## the recipe `fast` from the demo model (LSP and backgrounds; 50 minutes on two cores)
	@test -d "$(DATA)/lsp" || { echo "set COKE_EDGE_DATA to the folder that holds lsp/ and backgrounds/"; exit 2; }
	$(BIN)/coke-edge train --data "lsp:$(DATA)/lsp" --recipe fast $(DEMO_OCCLUDERS) --epochs 60 --out out/fast-model/long \
	    --start demo --occluders 0.3 --eval-every 10
	$(BIN)/coke-edge train --data "lsp:$(DATA)/lsp" --recipe fast $(DEMO_OCCLUDERS) --epochs 8 --out out/fast-model/last \
	    --start out/fast-model/long --seed 1 --lr 3e-4 --backbone-lr 1.2e-4 --occluders 0.15
	$(BIN)/coke-edge eval out/fast-model/last --data "lsp:$(DATA)/lsp" --split test --report out/fast-model/test
	$(BIN)/coke-edge export out/fast-model/last -o out/fast-model/fast.coke --precision fp32,int8 \
	    --evaluation out/fast-model/test/evaluation.json

DEMO_OCCLUDERS = --occluder-images "$(DATA)/backgrounds?part=train" --occluder-cover 0.8 --occluder-background 0.6 --presence 0.5

# The second command names its files: collecting all of them again takes half a minute.
test: $(VENV)/.dev  ## all tests; those that need real data skip unless COKE_EDGE_DATA or ../shared/data is there
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not alone"
	$(BIN)/python -m pytest -m alone $$(grep -rl "pytest.mark.alone" tests)

pycuda: $(VENV)/.dev  ## build pycuda, published as source alone, for the tests of its driver (a minute, then cached)
	$(BIN)/python tests/fake_cuda/pycuda_wheel.py

check: lint types test  ## what has to be green before a change is done

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy sees the package as users import it: one folder of links, since kernels/, train/ … live at the top.
types: $(VENV)/.dev
	rm -rf build/types && mkdir -p build/types/coke_edge
	ln -s $(addprefix $(CURDIR)/,$(wildcard coke_edge/*) kernels export train benchmarks) build/types/coke_edge/
	MYPYPATH=build/types MYPY_NUM_WORKERS=2 $(BIN)/mypy

bench: $(VENV)/.runtime  ## latency, stages, start-up and memory of the demo model on this machine, with raw samples
	$(BIN)/coke-edge bench demo --threads 1,2 --out out/bench --report

# The race has environments of its own: one runs it, one converts MoveNet (TensorFlow), one exports YOLO (AGPL: nothing of
# it is imported here). The last two are gigabytes large and can go once the models are there.
OURS ?= demo
PEERS := out/peers
ENVIRONMENTS := benchmarks/peers/environments
bench-peers: peers-data $(PEERS)/.race $(PEERS)/.movenet $(PEERS)/.yolo  ## the race against BlazePose, MoveNet and YOLO (LSP in $$COKE_EDGE_DATA; OURS="A.coke B.coke")
	$(PEERS)/race/bin/python -m coke_edge.benchmarks.peers --data "lsp:$(DATA)/lsp" --ours $(OURS) --out $(PEERS)/result.json

# Before gigabytes are fetched.
peers-data:
	@test -d "$(DATA)/lsp" || { echo "set COKE_EDGE_DATA to the folder that holds lsp/"; exit 2; }

$(PEERS)/.race $(PEERS)/.movenet $(PEERS)/.yolo: | peers-data

$(PEERS)/.race: pyproject.toml $(ENVIRONMENTS)/race.txt
	$(PYTHON) -m venv $(PEERS)/race
	$(PEERS)/race/bin/pip install --quiet --disable-pip-version-check -e . -r $(ENVIRONMENTS)/race.txt
	$(PEERS)/race/bin/python -m coke_edge.benchmarks.peers.fetch_models $(PEERS)/models
	touch $@

$(PEERS)/.movenet: $(ENVIRONMENTS)/tensorflow.txt | $(PEERS)/.race
	$(PYTHON) -m venv $(PEERS)/tensorflow
	$(PEERS)/tensorflow/bin/pip install --quiet --disable-pip-version-check -r $(ENVIRONMENTS)/tensorflow.txt
	$(PEERS)/tensorflow/bin/python -m benchmarks.peers.movenet_to_tflite $(PEERS)/models
	touch $@

$(PEERS)/.yolo: $(ENVIRONMENTS)/yolo.txt $(ENVIRONMENTS)/yolo_to_onnx.sh
	$(PYTHON) -m venv $(PEERS)/yolo
	$(PEERS)/yolo/bin/pip install --quiet --disable-pip-version-check -r $(ENVIRONMENTS)/yolo.txt
	$(ENVIRONMENTS)/yolo_to_onnx.sh $(PEERS)/yolo $(PEERS)/models
	touch $@

# GPU machines often hold their own torch and Triton and reach no package registry: nothing is installed for these two.
GPU_PYTHON ?= python3
gpu-check:  ## kernels, binaries and speed on this machine's NVIDIA GPU, in 8 minutes; installs nothing
	$(GPU_PYTHON) -m coke_edge.benchmarks.gpu_check --out out/gpu-check

bench-head:  ## the head alone: fused kernels beside torch on a GPU (DEVICE=cpu: numpy, torch, ONNX Runtime)
	$(GPU_PYTHON) -m coke_edge.benchmarks.head --device $(or $(DEVICE),cuda) --out out/head.json

experiments: $(VENV)/.dev  ## what docs/results.md is made of: train and measure what is not done yet (ONLY="lsp/*", ARGS=--list)
	$(BIN)/python -m coke_edge.benchmarks.experiments run $(if $(DATA),--data '$(DATA)') $(foreach pattern,$(ONLY),--only '$(pattern)') $(ARGS)

benchmark-docs: $(VENV)/.dev  ## docs/benchmarks.md and results.md from what lies in benchmarks/results/; never edit the pages
	$(BIN)/python -m coke_edge.benchmarks.document
	$(BIN)/python -m coke_edge.benchmarks.experiments document

trt-api: $(VENV)/.dev  ## list the names of every TensorRT version again, from the bindings on PyPI (needs a C compiler)
	$(BIN)/python tests/fake_tensorrt/snapshot.py

clean:
	rm -rf build out $(VENV)

$(VENV)/.runtime: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

# Not compiled in advance: tens of thousands of files, of which the tests import few.
$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -e ".[dev]"
	touch $@ $(VENV)/.runtime
