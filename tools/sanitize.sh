#!/usr/bin/env bash
# Runs the test suite under a sanitizer, and the program that the tests start.
#
#   tools/sanitize.sh address|thread [FILTER]
#
# FILTER is that of `swift test`; without it every test runs but those that measure memory or time, which a sanitizer
# multiplies: they are left out by AURAFLOW_SANITIZER, which this script sets. Reports end a test run with exit code 1.
# What is known not to be ours is in tools/sanitize/leaks.txt and races.txt.
set -euo pipefail

cd "$(dirname "$0")/.."
sanitizer=${1:-}
if [ "$sanitizer" != address ] && [ "$sanitizer" != thread ] || [ $# -gt 2 ]; then
  sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2
  exit 64
fi
tools/install-dependencies.sh

# Swift's own backtraces wait for a terminal and hide the sanitizer's report.
export AURAFLOW_SANITIZER=$sanitizer SWIFT_BACKTRACE=enable=no
symbolizer=$(dirname "$(readlink -f "$(command -v swift)")")/llvm-symbolizer
export ASAN_SYMBOLIZER_PATH=$symbolizer TSAN_SYMBOLIZER_PATH=$symbolizer
# An exit code that the program never has: no report may pass unseen where a test expects a failure.
export ASAN_OPTIONS=exitcode=99:${ASAN_OPTIONS:-}
export LSAN_OPTIONS=suppressions=$PWD/tools/sanitize/leaks.txt:print_suppressions=0
export TSAN_OPTIONS=suppressions=$PWD/tools/sanitize/races.txt:exitcode=99:${TSAN_OPTIONS:-}

# Release with symbols: debug builds run numeric loops a hundred times slower.
options=(-c release -Xswiftc -g --sanitize "$sanitizer" --disable-testable-imports)
options+=(--scratch-path ".build/sanitize-$sanitizer")
if [ $# -eq 2 ]; then options+=(--filter "$2"); fi
log=.build/sanitize-$sanitizer.log
mkdir -p .build
status=0
swift test "${options[@]}" 2>&1 | grep -v 'Cannot export local symbol' | tee "$log" || status=$?
if grep -aE 'ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer' "$log"; then status=1; fi
exit "$status"
