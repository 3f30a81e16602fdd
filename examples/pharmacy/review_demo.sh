#!/usr/bin/env bash
# review_demo.sh: from raw logs to a report whose figures people have corrected, with simulated people. On a terminal it
# then opens the page with the same questions for practice; `lta` is taken from the environment LTA (default: the PATH).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lta=${LTA:-lta}
python=$(dirname "$(command -v "$lta")")/python
run=pharmacy-review

"$lta" run "$here/review.yaml" &
running=$!
trap 'kill "$running" 2> /dev/null || true' EXIT
until "$lta" review status "$run" > /dev/null 2>&1; do
  kill -0 "$running" 2> /dev/null || break  # it has ended: from a store that knows the answers, or with a fault
  sleep 2
done
if kill -0 "$running" 2> /dev/null; then
  "$python" "$here/gold_reviewers.py" "$run"
fi
wait "$running"
trap - EXIT
if [ -t 1 ]; then
  echo "The same questions for practice, until Ctrl-C; nothing that you answer there changes the run."
  exec "$lta" review open "$run" --practice
fi
echo "Try the page: $lta review open $run --practice"
