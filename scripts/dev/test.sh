#!/bin/bash
# Runs the C tests and the specs of one build and adds them up.
#
#   scripts/dev/test.sh BUILD [C] [SPECS]      BUILD is the folder with c-tests and perilune
#
# The parts print their own details. The last line is "N passed, N failed" over all of
# them; the exit code is 1 if anything failed, if a part ended badly, or if no test ran at all.
# From the environment: TESTS (names of C tests), SPECS (paths; default specs), TEST_FLAGS
# (busted's and perilune test's), RUNNER (what the C tests run under, e.g. "setarch -R"),
# TEST_LIMIT_S (how long the C tests, or one file of specs, may take).
set -euo pipefail

build=$1
shift
limit_s=${TEST_LIMIT_S:-600}
passed=0 failed=0 skipped=0 sums=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

add() { # NAME PASSED FAILED SKIPPED
  sums+=("$(printf '  %-40s %5d passed %3d failed %3d skipped' "$1" "$2" "$3" "$4")")
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
  timeout -k 10 "$limit_s" ${RUNNER:-} "$build/c-tests" ${TESTS:-} 2>&1 </dev/null | tee "$log" |
    sed -u '/^[0-9]* passed, [0-9]* failed/d' || code=$?
  counts=$(grep -oE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1 |
    tr -cs '0-9' ' ' || true)
  # shellcheck disable=SC2086 # three numbers
  settle "C tests" "$code" $counts
  echo "${sums[-1]}"
}

# One file in a process of its own, so that a crash or a hang costs that file only. Its output is
# shown when something is wrong with it; otherwise a line. busted's own count is
# "12 successes / 0 failures / 0 errors / 1 pending : 0.5 seconds".
spec_file() { # FILE
  local code=0 counts start=$SECONDS
  # shellcheck disable=SC2086 # a list of flags
  PERILUNE="$PWD/$build/perilune" timeout -k 10 "$limit_s" \
    "$build/perilune" test ${TEST_FLAGS:-} "$1" >"$log" 2>&1 </dev/null || code=$?
  if [ $code -eq 124 ] || [ $code -eq 137 ]; then echo "$1: not over after $limit_s s" >>"$log"; fi
  counts=$(sed 's/\x1b\[[0-9;]*m//g' "$log" |
    grep -aE '^[0-9]+ success(es)? / [0-9]+ failures? / [0-9]+ errors? / [0-9]+ pending' |
    tail -n 1 | sed 's/ :.*//' | tr -cs '0-9' ' ' | awk '{ print $1, $2 + $3, $4 }' || true)
  if [ $code -ne 0 ] || [ -z "$counts" ]; then cat "$log"; fi
  # shellcheck disable=SC2086 # three numbers
  settle "$1" "$code" $counts
  printf '%s  %d s\n' "${sums[-1]}" $((SECONDS - start))
}

specs() {
  local file
  # shellcheck disable=SC2086 # a list of paths
  while IFS= read -r file; do spec_file "$file"; done < <(
    find ${SPECS:-specs} -name '*_spec.lua' | sort
  )
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
if [ $((passed + failed)) -eq 0 ]; then
  echo "no test ran" >&2
  failed=1
fi
if [ "$skipped" -gt 0 ]; then echo "$skipped skipped"; fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
