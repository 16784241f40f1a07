#!/usr/bin/env bash
# Runs the kernels' tests and makes a picture on emulated CPUs without AVX, and without AVX-512 and VNNI.
#
#   tools/check-old-cpus.sh        # after tools/run-tests.sh; needs Debian's qemu-user, takes a minute or so
#
# Nehalem has no AVX at all, Haswell neither AVX-512 nor VNNI. The emulator ends a program at an
# instruction that its CPU lacks, and shows libraries (OpenBLAS) that CPU too. Pictures must have the
# very bytes that this machine makes with the same kernels.
set -euo pipefail

cd "$(dirname "$0")/.."
if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "old CPUs: skipped, this is not x86-64 Linux"
  exit 0
fi
if ! command -v qemu-x86_64 >/dev/null; then
  echo "old CPUs: skipped, qemu-x86_64 is not installed (apt install qemu-user)"
  exit 0
fi
folder=$(swift build -c release --show-bin-path)
tests=$folder/auraflowPackageTests.xctest
for file in "$folder/auraflow" "$tests"; do
  [ -x "$file" ] || { echo "error: $file is missing: run tools/run-tests.sh" >&2; exit 66; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A crash of an emulated program is a result here, not worth a core file of the emulator.
ulimit -c 0
unset AURAFLOW_KERNELS

# fail MESSAGE: prints it with what the last command wrote.
fail() {
  echo "error: $1" >&2
  tail -n 20 "$work/log" >&2
  exit 1
}

# emulate CPU COMMAND...: its status, and its output without the emulator's remarks in log.
emulate() {
  local cpu=$1 status=0
  shift
  timeout 600 qemu-x86_64 -cpu "$cpu" "$@" >"$work/log" 2>&1 || status=$?
  sed -i "/^qemu-x86_64: warning: TCG doesn't support/d" "$work/log"
  return $status
}

# draw PICTURE: the arguments that make one.
draw() {
  printf '%s\n' generate --prompt "a red apple on a blue background" --steps 2 --seed 3 --output "$1"
}

# refuses CPU INSTRUCTIONS: an emulator that knew more than its CPU would prove nothing.
refuses() {
  local register=__m256 value='_mm256_set1_ps(count)'
  case $2 in
    avxvnni) register=__m256i value='_mm256_dpbusd_avx_epi32(_mm256_set1_epi8(1), zero, zero)' ;;
    avx512f) register=__m512 value='_mm512_set1_ps(count)' ;;
  esac
  printf '%s\n' '#include <immintrin.h>' 'int main(int count, char **names) {' \
    '  __m256i zero = _mm256_setzero_si256();' "  volatile $register value = $value;" \
    '  return sizeof value == 0; }' >"$work/control.c"
  cc -O0 "-m$2" -o "$work/control" "$work/control.c"
  local status=0
  emulate "$1" "$work/control" 2>/dev/null || status=$?
  # 128 and the number of SIGILL.
  [ $status -eq 132 ] || fail "the emulated $1 does not end a program at $2, but with status $status"
}

# check CPU KERNELS LACKING...: runs everything on an emulated CPU that should pick KERNELS.
check() {
  local cpu=$1 kernels=$2 start=$SECONDS lacking status
  shift 2
  # Full-size shapes would take the emulator minutes and show nothing new.
  emulate "$cpu" "$tests" --testing-library swift-testing --filter ComputeCPUTests --skip realShapes \
    || fail "$cpu: the kernels' tests ended with status $?"
  local ran
  ran=$(grep -oE 'Test run with [1-9][0-9]* tests? .*passed' "$work/log") || fail "$cpu: no tests ran"
  mapfile -t arguments < <(draw "$work/$cpu.png")
  emulate "$cpu" "$folder/auraflow" "${arguments[@]}" || fail "$cpu: no picture, status $?"
  local picture="made a picture"
  if grep -qw "${kernels/portable/fpu}" /proc/cpuinfo; then
    mapfile -t arguments < <(draw "$work/native.png")
    AURAFLOW_KERNELS=$kernels "$folder/auraflow" "${arguments[@]}" --force >"$work/log" 2>&1 \
      || fail "no picture with AURAFLOW_KERNELS=$kernels"
    cmp "$work/$cpu.png" "$work/native.png" >"$work/log" || fail "$cpu: another picture than this machine's"
    picture="made the picture of this machine's $kernels kernels"
  fi
  for lacking in "$@"; do
    status=0
    AURAFLOW_KERNELS=$lacking emulate "$cpu" "$folder/auraflow" --version || status=$?
    if [ $status -ne 64 ] || [ "$(wc -l <"$work/log")" -ne 1 ] \
      || ! grep -q "^error: AURAFLOW_KERNELS=$lacking: this CPU lacks the instructions" "$work/log"; then
      fail "$cpu: AURAFLOW_KERNELS=$lacking is not refused in one line with status 64 (but $status)"
    fi
  done
  echo "old CPUs: $cpu: ${ran,}, $picture, refused $* ($((SECONDS - start)) s)"
}

refuses Nehalem avx
refuses Haswell avxvnni
refuses Haswell avx512f
check Nehalem portable avx2 avxvnni avx512
check Haswell avx2 avxvnni avx512
