#!/usr/bin/env bash
# Fuzzes the readers of untrusted bytes under AddressSanitizer (libFuzzer, which Linux toolchains have).
#
#   tools/fuzz.sh MINUTES [READER...]
#
# Readers: gguf, safetensors, safetensors-index, json, tokenizer-json, clip-merges, sentencepiece, gguf-vocabulary,
# png; all of them if none is named. They share the minutes and the cores. JOBS=N takes N cores instead of all.
#
# Each begins with Tests/Fixtures/fuzz-corpus/READER, which the test suite replays. What reaches code that nothing
# there reaches is added to it; so is what crashes, hangs, leaks or takes too much memory, with its message on
# standard error and exit code 1. Other inputs stay in .build/fuzz-work for the next time.
set -euo pipefail

cd "$(dirname "$0")/.."
all=(gguf safetensors safetensors-index json tokenizer-json clip-merges sentencepiece gguf-vocabulary png)
minutes=${1:-}
if ! [[ $minutes =~ ^[1-9][0-9]*$ ]]; then
  sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2
  exit 64
fi
shift
readers=("$@")
[ ${#readers[@]} -gt 0 ] || readers=("${all[@]}")
for reader in "${readers[@]}"; do
  if [[ " ${all[*]} " != *" $reader "* ]]; then
    echo "error: no reader is called '$reader', expected one of: ${all[*]}" >&2
    exit 64
  fi
done

# The first makes SwiftPM leave the main function to libFuzzer. Of several the compiler takes the last, which comes
# from here.
build=(swift build -c release -Xswiftc -g --sanitize fuzzer -Xswiftc -sanitize=address,fuzzer)
build+=(--scratch-path .build/fuzz)
# The linker warns of each of AddressSanitizer's own symbols.
AURAFLOW_FUZZER=1 "${build[@]}" --product Fuzzer 2>&1 | grep -v 'Cannot export local symbol' >&2
fuzzer=$(AURAFLOW_FUZZER=1 "${build[@]}" --show-bin-path)/Fuzzer
toolchain=$(dirname "$(readlink -f "$(command -v swift)")")
for symbol in asan.module_ctor __start___sancov_cntrs; do
  grep "$symbol" <("$toolchain/llvm-nm" "$fuzzer") >/dev/null ||
    { echo "error: $fuzzer has no $symbol: it is not built for AddressSanitizer and libFuzzer both" >&2; exit 70; }
done

work=$PWD/.build/fuzz-work
rm -rf "$work/seeds" "$work/finds"
python3 tools/fuzz/make_seeds.py "$work/seeds"

# Swift's own backtraces wait for a terminal and hide the report of AddressSanitizer; hashes that differ from run to
# run look like new paths.
export SWIFT_BACKTRACE=enable=no SWIFT_DETERMINISTIC_HASHING=1
export ASAN_SYMBOLIZER_PATH=$toolchain/llvm-symbolizer

jobs=${JOBS:-$(nproc)}
((jobs <= ${#readers[@]})) || jobs=${#readers[@]}
seconds=$((minutes * 60 * jobs / ${#readers[@]}))

# fuzz READER: runs one reader for its share and adds what it found to the corpus. Fails if anything broke.
fuzz() {
  local reader=$1 corpus=$PWD/Tests/Fixtures/fuzz-corpus/$1 status=0
  local log=$work/$reader.log new=$work/$reader finds=$work/finds/$reader
  export AURAFLOW_FUZZED_READER=$reader
  mkdir -p "$corpus" "$new" "$finds"
  local options=(-timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=512 -artifact_prefix="$finds/")
  options+=(-max_len=2048 -use_value_profile=1 -print_final_stats=1 -max_total_time="$seconds")
  [ ! -f "tools/fuzz/$reader.dict" ] || options+=(-dict="tools/fuzz/$reader.dict")
  "$fuzzer" "${options[@]}" "$new" "$corpus" "$work/seeds/$reader" >"$log" 2>&1 || status=$?
  local count
  count=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
  echo "$reader: ${count:-0} executions in $seconds s, $(find "$finds" -type f | wc -l) finds"
  if [ "$status" -ne 0 ]; then
    grep -aE '^==.*ERROR|broken promise|Fatal error|^SUMMARY|^ +#[0-9]+ .*/(Sources|Tests)/|^error|_READER' "$log" |
      head -n 20 | sed "s/^/$reader: /" >&2 || true
    # A name that says what it was, and tells it from what was added for its coverage.
    find "$finds" -type f -exec cp -v {} "$corpus/" \; >&2
    return 1
  fi
  # By edges alone: how often each is passed would multiply the files.
  "$fuzzer" -merge=1 -use_counters=0 -timeout=10 -rss_limit_mb=2048 "$corpus" "$work/seeds/$reader" "$new" \
    >>"$log" 2>&1
  local files bytes
  files=$(find "$corpus" -type f | wc -l)
  bytes=$(find "$corpus" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }')
  if ((files > 300 || bytes > 200000)); then
    echo "$reader: the corpus has grown to $files files of $bytes bytes: merge it into an empty folder" >&2
  fi
}

broken=0
running=()
for reader in "${readers[@]}"; do
  while [ "$(jobs -pr | wc -l)" -ge "$jobs" ]; do sleep 1; done
  fuzz "$reader" &
  running+=($!)
done
for process in "${running[@]}"; do wait "$process" || broken=1; done
exit $broken
