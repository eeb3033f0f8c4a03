#!/bin/bash
# Runs the C tests and the specs of one build and adds them up.
#
#   scripts/dev/test.sh BUILD [C] [SPECS]      BUILD is the folder with c-tests and perilune
#
# The parts print their own details. The last line is "N passed, N failed[, N skipped]" over all of
# them; the exit code is 1 if anything failed, if a part ended badly, or if no test ran at all.
# From the environment: TESTS (names of C tests), SPECS (paths; default specs), TEST_FLAGS
# (busted's), RUNNER (what the C tests run under, e.g. "setarch -R").
set -euo pipefail

build=$1
shift
passed=0 failed=0 skipped=0 sums=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

add() { # NAME PASSED FAILED SKIPPED
  sums+=("$(printf '  %-8s %6d passed %6d failed %6d skipped' "$1" "$2" "$3" "$4")")
  passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
}

# A part whose count is missing, or that ended badly without a failure to show for it, failed once.
settle() { # NAME EXIT PASSED FAILED SKIPPED
  local counted=${3:+yes} failures=${4:-0}
  if [ -z "$counted" ]; then
    echo "$1: ended (exit code $2) without a count" >&2
    failures=1
  elif [ "$2" -ne 0 ] && [ "$failures" -eq 0 ]; then
    echo "$1: exit code $2 without a failed test" >&2
    failures=1
  fi
  add "$1" "${3:-0}" "$failures" "${5:-0}"
}

c_tests() {
  local code=0 counts
  # shellcheck disable=SC2086 # a list of names
  ${RUNNER:-} "$build/c-tests" ${TESTS:-} 2>&1 | tee "$log" |
    sed -u '/^[0-9]* passed, [0-9]* failed/d' || code=$?
  counts=$(grep -oE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1 |
    tr -cs '0-9' ' ' || true)
  # shellcheck disable=SC2086 # three numbers
  settle "C tests" "$code" $counts
}

# busted's own line: "12 successes / 0 failures / 0 errors / 1 pending : 0.5 seconds"
specs() {
  local code=0 counts
  # shellcheck disable=SC2086 # lists of flags and paths
  PERILUNE="$PWD/$build/perilune" "$build/perilune" test ${TEST_FLAGS:-} ${SPECS:-specs} 2>&1 |
    tee "$log" || code=$?
  counts=$(sed 's/\x1b\[[0-9;]*m//g' "$log" |
    grep -E '^[0-9]+ success(es)? / [0-9]+ failures? / [0-9]+ errors? / [0-9]+ pending' |
    tail -n 1 | sed 's/ :.*//' | tr -cs '0-9' ' ' | awk '{ print $1, $2 + $3, $4 }' || true)
  # shellcheck disable=SC2086 # three numbers
  settle "specs" "$code" $counts
}

for part in "$@"; do
  case $part in
  C) c_tests ;;
  SPECS) specs ;;
  *)
    echo "no such part: $part" >&2
    exit 2
    ;;
  esac
done
printf '%s\n' "${sums[@]}"
if [ $((passed + failed)) -eq 0 ]; then
  echo "no test ran" >&2
  failed=1
fi
if [ "$skipped" -gt 0 ]; then
  echo "$passed passed, $failed failed, $skipped skipped"
else
  echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
