#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test. Arguments go to `swift test`.
set -euo pipefail

cd "$(dirname "$0")/.."
tools/install-dependencies.sh
swift build -c release --product auraflow
# Release: debug builds run numeric loops a hundred times slower. No testable imports: they would
# compile everything again, in another way than users get it.
swift test -c release --disable-testable-imports "$@"
