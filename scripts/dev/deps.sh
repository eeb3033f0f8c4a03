#!/bin/sh
# Installs the Debian packages named as arguments that are missing. Says what to do when it cannot.
#
# No service starts by itself: the tests start what they need, on ports of their own. While packages
# are unpacked, a policy that says no stands in /usr/sbin/policy-rc.d (unless the machine has one of
# its own), which covers init scripts and systemd units alike.
set -eu

POLICY=/usr/sbin/policy-rc.d
TRIES=3 # of each apt-get, when another one holds the package lists

missing=
for package in "$@"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "perilune: needs these packages (Debian's names), and there is no apt-get here:$missing" >&2
  exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "perilune: needs root to install:$missing" >&2
    echo "perilune: run as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  as_root=sudo
fi

log=$(mktemp)
own_policy=
clean_up() {
  rm -f "$log"
  [ -z "$own_policy" ] || $as_root rm -f "$POLICY"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# Parallel make asks for several sets at once; one at a time gets through.
exec 9<"$0"
flock 9

apt() {
  try=1
  until $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1; do
    [ "$try" -lt "$TRIES" ] || return 1
    try=$((try + 1))
    sleep 5
  done
}

echo "  DEPS  $missing"
if [ ! -e "$POLICY" ]; then
  own_policy=1
  printf '#!/bin/sh\nexit 101\n' | $as_root tee "$POLICY" >/dev/null
  $as_root chmod 755 "$POLICY"
fi
# Without fresh lists the install may still succeed from what is there; its word counts.
apt update || cat "$log" >&2
# shellcheck disable=SC2086 # a list of package names
if ! apt install -y --no-install-recommends $missing; then
  cat "$log" >&2
  echo "perilune: could not install:$missing" >&2
  exit 1
fi
