#!/bin/sh
# Prints assembly that holds the given Lua files: pn_embedded is an array of { name, file, start,
# end } ended by a zero name. scripts/perilune/a/b.lua is module "perilune.a.b"; scripts/std/x.lua
# is "std.x"; bench/lua/x.lua is "bench.x".
set -eu
echo '    .section .rodata'
n=0
for file in "$@"; do
  name=$(echo "${file%.lua}" | sed -e 's,^scripts/,,' -e 's,^bench/lua/,bench/,' -e 's,/,.,g')
  echo "name_$n: .asciz \"$name\""
  echo "file_$n: .asciz \"$file\""
  echo "start_$n: .incbin \"$file\""
  echo "end_$n: .byte 0"
  n=$((n + 1))
done
echo '    .section .data.rel.ro, "aw"'
echo '    .balign 8'
echo '    .globl pn_embedded'
echo '    .hidden pn_embedded'
echo 'pn_embedded:'
i=0
while [ "$i" -lt "$n" ]; do
  echo "    .quad name_$i, file_$i, start_$i, end_$i"
  i=$((i + 1))
done
echo '    .quad 0, 0, 0, 0'
echo '    .section .note.GNU-stack, "", @progbits'
