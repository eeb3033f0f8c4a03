#!/bin/bash
# What a newcomer gets: clones HEAD into an empty folder and runs make there.
#
#   scripts/dev/check-fresh.sh [TARGET…]     default: run test
#
# Nothing of the working tree comes along, so what was forgotten in a commit shows. The clone is
# removed when all is well, and kept (its path is printed) when something failed.
set -euo pipefail

[ $# -gt 0 ] || set -- run test
source=$(git rev-parse --show-toplevel)
clone=$(mktemp -d)
commit=$(git -C "$source" rev-parse HEAD)
if [ -n "$(git -C "$source" status --porcelain)" ]; then
  echo "note: what is not committed is not checked:" >&2
  git -C "$source" status --short >&2
fi
git clone --quiet --no-local "$source" "$clone/perilune"
git -C "$clone/perilune" checkout --quiet "$commit"
cd "$clone/perilune"
for target in "$@"; do
  echo "== make $target"
  if ! env -u MAKEFLAGS -u MAKELEVEL make "$target"; then
    echo "make $target failed in $clone/perilune ($commit)" >&2
    exit 1
  fi
done
if [ -n "$(git status --porcelain)" ]; then
  echo "the build leaves files that .gitignore does not know:" >&2
  git status --short >&2
  exit 1
fi
cd /
rm -rf "$clone"
echo "fresh clone of $commit: make $* passed"
