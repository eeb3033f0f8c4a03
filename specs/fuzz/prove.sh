#!/bin/sh
# Shows that each fuzz harness can find a bug: builds it with each of its planted bugs
# (PN_PLANT_BUG=n in the harness) and expects a crash within SECONDS (default 60); the harness
# without a bug must get through its corpus first.
#
#   specs/fuzz/prove.sh [-s SECONDS] [HARNESS.c...]      from the top of the repository
set -eu
seconds=60
if [ "${1:-}" = -s ]; then
  seconds=$2
  shift 2
fi
cc=${CLANG:-clang}
out=build/fuzz-prove
flags="-std=gnu11 -D_GNU_SOURCE -g -O1 -pthread -Iruntime -I.
       -isystem /usr/share/include/llhttp -isystem /usr/include/lua5.4
       -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined"
libs="-Wl,--whole-archive -l:liblua5.4.a -Wl,--no-whole-archive -l:liblua5.4-luv.a
      -Wl,--wrap=time -Wl,-E -lcjson -l:libuv_a.a -lssl -lcrypto -lz -lm -ldl"
mkdir -p "$out"

# What a harness may use, as an archive, so that each takes what it needs.
archive=$out/engines.a
rm -f "$archive"
for source in runtime/base/*.c runtime/memory/*.c runtime/core/*.c runtime/net/*.c \
              runtime/load/*.c runtime/lua/*.c runtime/bind/*.c \
              /usr/share/llhttp/api.c /usr/share/llhttp/http.c /usr/share/llhttp/llhttp.c; do
  [ -e "$source" ] || continue
  object=$out/$(echo "$source" | tr / _).o
  # shellcheck disable=SC2086 # the flags are a list
  $cc $flags -w -c "$source" -o "$object"
  ar qc "$archive" "$object"
done
find scripts/perilune scripts/std bench/lua -name '*.lua' | sort | xargs sh scripts/dev/embed.sh \
  >"$out/embed.S"
$cc -c "$out/embed.S" -o "$out/embed.o"
ar qc "$archive" "$out/embed.o"
ranlib "$archive"

# harness, bug
build() {
  # shellcheck disable=SC2086
  $cc $flags -DPN_PLANT_BUG="$2" "specs/fuzz/fuzz_$1.c" \
      -Wl,--start-group "$archive" $libs -Wl,--end-group -o "$out/fuzz_$1-$2"
}

# harness, bug, further options of libFuzzer; 0 when it ran to its end
run() {
  name=$1 bug=$2
  shift 2
  rm -rf "$out/work" "$out/$name-$bug-"*
  mkdir -p "$out/work"
  corpus='' dict=''
  if [ -d "specs/fuzz/corpus/$name" ]; then corpus=specs/fuzz/corpus/$name; fi
  if [ -e "specs/fuzz/$name.dict" ]; then dict=-dict=specs/fuzz/$name.dict; fi
  # shellcheck disable=SC2086
  "$out/fuzz_$name-$bug" -seed=1 -artifact_prefix="$out/$name-$bug-" $dict "$@" \
      "$out/work" $corpus >"$out/$name-$bug.log" 2>&1
}

failed=0 found=0
[ $# -gt 0 ] || set -- specs/fuzz/fuzz_*.c
for harness; do
  name=$(basename "$harness" .c)
  name=${name#fuzz_}
  build "$name" 0
  if ! run "$name" 0 -runs=0; then
    echo "fuzz_$name: fails on its own corpus, see $out/$name-0.log"
    failed=$((failed + 1))
    continue
  fi
  bugs=$(sed -n 's/^#if PN_PLANT_BUG == \([0-9]*\)$/\1/p' "specs/fuzz/fuzz_$name.c" | sort -un)
  if [ -z "$bugs" ]; then
    echo "fuzz_$name: has no planted bug"
    failed=$((failed + 1))
  fi
  for bug in $bugs; do
    build "$name" "$bug"
    log=$out/$name-$bug.log started=$(date +%s)
    if ! run "$name" "$bug" -max_total_time="$seconds" &&
       ls "$out/$name-$bug-crash-"* >/dev/null 2>&1; then
      what=$(sed -n 's/.*does not hold: //p; s/^SUMMARY: //p' "$log" | head -1)
      executions=$(sed -n 's/^#\([0-9]*\).*/\1/p' "$log" | tail -1)
      took="$(($(date +%s) - started)) s, after execution ${executions:-1}"
      echo "fuzz_$name: bug $bug found in $took: $what"
      found=$((found + 1))
    else
      echo "fuzz_$name: bug $bug not found in $seconds s, see $log"
      failed=$((failed + 1))
    fi
  done
done
echo "$found passed, $failed failed"
[ "$failed" -eq 0 ]
