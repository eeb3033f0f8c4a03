#!/bin/bash
# Runs fuzz harnesses, one after the other, and reports each.
#
#   scripts/dev/fuzz.sh HARNESS…       binaries built by `make fuzz`; fuzz_NAME is NAME below
#
# Each runs for FUZZ_SECONDS (60) and at least FUZZ_RUNS (1000000) executions, whichever is longer,
# but not over FUZZ_SECONDS_MAX (900): a harness too slow for that is reported as short and fails.
# It starts from specs/fuzz/corpus/NAME and writes what it finds to build/fuzz-found/NAME; an input
# that crashes lies there as crash-*, and goes with its fix to the corpus. FUZZ_SEED (1) seeds the
# first run of a harness, so that it can be repeated.
set -euo pipefail

seconds=${FUZZ_SECONDS:-60} runs=${FUZZ_RUNS:-1000000} seconds_max=${FUZZ_SECONDS_MAX:-900}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
failed=0

# One run of libFuzzer; leaves its output in $log and adds what it executed to `executed`.
run() { # HARNESS NAME LIMIT…
  local harness=$1 name=$2 code=0 count dict=()
  shift 2
  if [ -e "specs/fuzz/$name.dict" ]; then dict=(-dict="specs/fuzz/$name.dict"); fi
  seed=$((seed + 1))
  "$harness" -seed="$seed" -print_final_stats=1 -rss_limit_mb=2048 -timeout=10 "${dict[@]}" \
    -artifact_prefix="$found/" "$@" "$found" "specs/fuzz/corpus/$name" >"$log" 2>&1 || code=$?
  count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
  executed=$((executed + ${count:-0})) # a harness that cannot start says nothing
  return "$code"
}

fuzz() { # HARNESS
  local harness=$1 name
  name=$(basename "$harness")
  name=${name#fuzz_}
  if [ ! -d "specs/fuzz/corpus/$name" ]; then
    echo "fuzz: $name has no corpus in specs/fuzz/corpus/$name" >&2
    return 1
  fi
  found=build/fuzz-found/$name
  log=build/fuzz-found/$name.log
  executed=0
  seed=$((${FUZZ_SEED:-1} - 1))
  mkdir -p "$found"
  local start=$SECONDS verdict="clean" edges
  if ! run "$harness" "$name" -max_total_time="$seconds"; then
    verdict="FAILED"
  else
    while [ "$executed" -lt "$runs" ] && [ $((SECONDS - start)) -lt "$seconds_max" ]; do
      run "$harness" "$name" -runs=$((runs - executed)) \
        -max_total_time=$((seconds_max - SECONDS + start)) || { verdict="FAILED"; break; }
    done
    [ "$verdict" = FAILED ] || [ "$executed" -ge "$runs" ] || verdict="SHORT of $runs"
  fi
  edges=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 | tr -dc 0-9 || true)
  printf '  FUZZ   %-12s %10d executions %5d s %6d edges  %s\n' "$name" "$executed" \
    $((SECONDS - start)) "${edges:-0}" "$verdict"
  [ "$verdict" = clean ] && return 0
  tail -n 40 "$log" >&2
  return 1
}

for harness in "$@"; do
  fuzz "$harness" || failed=$((failed + 1))
done
echo "$(($# - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
