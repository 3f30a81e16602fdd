#!/usr/bin/env bash
# review_demo.sh [MANIFEST]: from raw logs to a report whose figures people have corrected, with simulated people. On a
# terminal it then opens the page with the same questions for practice. The manifest is review.yaml, or a copy beside it with
# fewer sessions and answers for a slow machine; the simulated people only know logs.jsonl. `lta` is taken from the
# environment variable LTA (default: the PATH).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
manifest=${1:-$here/review.yaml}
lta=${LTA:-lta}
python=$(dirname "$(command -v "$lta")")/python

"$lta" run "$manifest" &
running=$!
trap 'kill "$running" 2> /dev/null || true' EXIT
until "$lta" review status "$manifest" > /dev/null 2>&1; do
  kill -0 "$running" 2> /dev/null || break  # it has ended: from a store that knows the answers, or with a fault
  sleep 2
done
if kill -0 "$running" 2> /dev/null; then
  echo "Nobody has to answer here: two simulated people do, who know the truth and err in 5 % of their answers."
  "$python" "$here/gold_reviewers.py" "$manifest"
fi
wait "$running"
trap - EXIT
if [ -t 1 ]; then
  echo "The same questions for practice, until Ctrl-C; nothing that you answer there changes the run."
  exec "$lta" review open "$manifest" --practice
fi
echo "Try the page: $lta review open $manifest --practice"
