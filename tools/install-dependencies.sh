#!/usr/bin/env bash
# Installs the system libraries that the build needs, if they are missing (Debian, Ubuntu), and the
# packages that the arguments name.
set -euo pipefail

if ! command -v swift >/dev/null; then
  echo "error: no 'swift' found: install Swift 6.2 or newer from swift.org and put it on the PATH" >&2
  exit 69
fi

missing=()
for package in libopenblas-dev libpng-dev "$@"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "installing ${missing[*]}" >&2
run=()
[ "$(id -u)" -eq 0 ] || run=(sudo)
"${run[@]}" apt-get update -qq
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
