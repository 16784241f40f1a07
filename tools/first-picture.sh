#!/usr/bin/env bash
# Installs what is missing, builds the program and makes a picture with the shipped model.
#
#   tools/first-picture.sh ["prompt"] [output.png]
set -euo pipefail

prompt=${1:-a red apple on a blue background}
output=${2:-apple.png}
case $output in /*) ;; *) output=$PWD/$output ;; esac
cd "$(dirname "$0")/.."
tools/install-dependencies.sh
swift build -c release --product auraflow
.build/release/auraflow generate --prompt "$prompt" --output "$output" --force
