#!/bin/bash
# Runs the specs in each way that must make no difference, and adds them up.
#
#   scripts/dev/variants.sh BUILD      BUILD is the folder with perilune
#
# VARIANTS names some of: shuffle, workers-1, workers-2, workers-8, gc. SPECS and TEST_LIMIT_S are
# those of scripts/dev/test.sh, which does the work.
set -euo pipefail

build=$1
passed=0 failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() { # NAME [FLAGS...]
  local name=$1 p f
  shift
  echo "== specs: $name"
  TEST_FLAGS="$*" scripts/dev/test.sh "$build" SPECS 2>&1 | tee "$log" || true
  read -r p f < <(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1 | tr -cs '0-9\n' ' ')
  passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))
}

for variant in ${VARIANTS:-shuffle workers-1 workers-2 workers-8 gc}; do
  case $variant in
  shuffle) run "$variant" --shuffle ;;
  workers-*) run "$variant" --workers "${variant#workers-}" ;;
  gc) PERILUNE_GC=stress run "$variant" ;;
  *)
    echo "no such variant: $variant" >&2
    exit 2
    ;;
  esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
