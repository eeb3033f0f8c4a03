#!/bin/sh
# Installs the Debian packages named as arguments that are missing. Says what to do when it cannot.
set -eu
missing=
for package in "$@"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "perilune: needs these packages (Debian names), and there is no apt-get here:$missing" >&2
  exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "perilune: needs root to install:$missing" >&2
    echo "perilune: run as root: apt-get install$missing" >&2
    exit 1
  fi
  as_root=sudo
fi
echo "  installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Package servers must not start by themselves: the tests start what they need.
if ! { $as_root apt-get update -qq &&
       $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "perilune: could not install:$missing" >&2
  exit 1
fi
