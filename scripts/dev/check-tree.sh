#!/bin/sh
# What no tracked file may hold, whatever its language:
#   - paths of somebody's machine, or fixed names in the shared temporary folder
#   - addresses of package hosts: packages are named, where they come from is the user's affair
#   - tabs, trailing blanks, a missing newline at the end, lines over COLUMNS (sources only)
# and each script must at least parse (and pass shellcheck where that is installed).
#
#   sh scripts/dev/check-tree.sh [COLUMNS]
#   sh scripts/dev/check-tree.sh --self-test
set -eu
export LC_ALL=C.UTF-8

# Written so that this file does not contain what it looks for.
machine_paths='(^|[^A-Za-z0-9_./-])/(home|root|Users|[w]ork|mnt|tmp)/[A-Za-z0-9_]'
host_words='deb|archive|security|mirrors?|registry|packages|pypi|proxy|snapshot|ftp'
host_endings='org|com|net|io|dev'
package_hosts="(^|[^A-Za-z0-9_.-])($host_words)[.]([a-z0-9-]+[.])*[a-z0-9-]+[.]($host_endings)"
sources='[.](c|h|lua|sh|erl|S)$|(^|/)(run|Makefile)$'
tab=$(printf '\t')

problems=0
report() { # WHAT: reads "path:line:text" lines
  while IFS= read -r found; do
    printf '%s: %s\n' "$(printf '%s' "$found" | cut -d: -f1,2)" "$1" >&2
    echo x
  done
}

# grep over the listed files, as path:line:text; no match is no failure.
search() { # PATTERN LIST
  [ -s "$2" ] || return 0
  tr '\n' '\0' <"$2" | xargs -0 grep -nHIE -e "$1" -- || true
}

check_text() { # LIST COLUMNS
  search "$machine_paths" "$1" | report 'a path of somebody'\''s machine'
  search "$package_hosts" "$1" | report 'the address of a package host'
  grep -E "$sources" "$1" >"$scratch/sources" || true
  grep -vE '(^|/)Makefile$' "$scratch/sources" >"$scratch/no-tabs" || true
  search "$tab" "$scratch/no-tabs" | report 'a tab'
  search '[[:blank:]]$' "$scratch/sources" | report 'trailing blanks'
  search "^.{$(($2 + 1))}" "$scratch/sources" | report "over $2 columns"
  while IFS= read -r file; do
    if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then echo "$file:1:"; fi
  done <"$scratch/sources" | report 'no newline at the end'
}

interpreter() { head -n 1 "$1" | grep -oE '^#!.*(bash|sh)$' | grep -oE '(bash|sh)$' || true; }

check_scripts() { # LIST
  while IFS= read -r file; do
    shell=$(interpreter "$file")
    [ -n "$shell" ] || continue
    "$shell" -n "$file" || echo "$file:1:" | report 'does not parse'
    if command -v shellcheck >/dev/null 2>&1; then
      shellcheck -x "$file" >&2 || echo "$file:1:" | report 'shellcheck'
    fi
  done <"$1"
}

tracked() {
  if [ -e .git ] && command -v git >/dev/null 2>&1; then
    git ls-files --cached --others --exclude-standard
  else
    find . -type f ! -path './build/*' | sed 's,^\./,,'
  fi | while IFS= read -r file; do [ ! -f "$file" ] || echo "$file"; done
}

check() { # COLUMNS; in the current folder
  tracked >"$scratch/all"
  problems=$({ check_text "$scratch/all" "$1"; check_scripts "$scratch/all"; } | wc -l)
}

# One violation a file; each must be found where it is.
self_test() {
  mkdir "$scratch/tree"
  cd "$scratch/tree"
  long=$(printf '%0101d' 0)
  home=/home
  host=deb.example
  printf 'int a; /* %s/me/x */\n' "$home" >path.c
  printf 'local f = "/t%s/fixed"\n' mp >temporary.lua
  printf 'see http://%s.org/pool\n' "$host" >host.md
  printf 'int a;\t\n' >tab.c
  printf 'local a \n' >blanks.lua
  printf '/* %s */\n' "$long" >long.h
  printf 'int a;' >newline.c
  printf '#!/bin/sh\nif\n' >parse.sh
  printf 'int a; // items/home/me, "/items/1", (%s), sub.deb/x\n' /tmp >sound.c
  check 100 2>"$scratch/found"
  cd /
  for planted in 'path.c:1: a path' 'temporary.lua:1: a path' 'host.md:1: the address' \
    'tab.c:1: a tab' 'tab.c:1: trailing' 'blanks.lua:1: trailing' 'long.h:1: over' \
    'newline.c:1: no newline' 'parse.sh:1: does not parse'; do
    grep -qF "$planted" "$scratch/found" || { echo "not found: $planted" >&2; exit 1; }
  done
  if grep -F sound.c "$scratch/found"; then echo 'found by mistake' >&2; exit 1; fi
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ "${1:-}" = --self-test ]; then
  self_test
  exit 0
fi
check "${1:-100}"
[ "$problems" -eq 0 ]
