#!/bin/sh
# Measures what needs a GPU: tree updates at the shapes of Qwen2.5, then policies from 600 and from all 2,290 training
# sessions of SGD with three seeds. Run it in the repository root after `make install` and
# `.venv/bin/uv pip install -c constraints.txt trl peft`; LTA_DATA names the folder with the logs.
set -u
python=.venv/bin/python
data=${LTA_DATA:-../shared/data}
failed=0
update() {
  "$python" tests/bench/bench_tree_update.py --device cuda --bf16 --first 600 --case 8 5 --no-memory --check "$@" ||
    failed=1
}
update --shape qwen2.5-0.5b
update --shape qwen2.5-1.5b
update --shape qwen2.5-7b --lora
"$python" examples/sgd/make_pack.py --data "$data/sgd" &&
  "$python" examples/sgd/make_development_split.py --data "$data/sgd" &&
  .venv/bin/lta sweep examples/sgd/seeds.yaml || failed=1
exit $failed
