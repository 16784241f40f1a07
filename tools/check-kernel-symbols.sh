#!/usr/bin/env bash
# Checks that no instruction beyond those of every x86-64 CPU can run where it was not asked for.
#
#   tools/check-kernel-symbols.sh        # after `swift build -c release --product auraflow`
#
# 1. Objects of KernelsAVX2, KernelsAVXVNNI and KernelsAVX512 define no function that another object
#    could define too: the linker keeps one of equal weak functions (such as specializations of the
#    standard library), and callers on other CPUs would get the one with their instructions.
# 2. In the linked program, vector instructions beyond SSE stand in functions of these modules only,
#    AVX-512 in those of KernelsAVX512 only, and AVX-VNNI (which is written as VEX, where AVX-512 has
#    EVEX) in those of KernelsAVXVNNI only. Other libraries are files of their own.
set -euo pipefail

cd "$(dirname "$0")/.."
if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "kernel symbols: skipped, there are no such kernels for $(uname -sm)"
  exit 0
fi
folder=$(swift build -c release --show-bin-path)
list=$folder/auraflow.product/Objects.LinkFileList
program=$folder/auraflow
for file in "$list" "$program"; do
  [ -e "$file" ] || { echo "error: $file is missing: run 'swift build -c release --product auraflow'" >&2; exit 66; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# The functions of all linked objects: module, file, binding, name. SwiftPM may quote paths.
tr -d "'" <"$list" | grep -E '\.o$' >"$work/objects"
while read -r object; do
  module=$(basename "$(dirname "$object")" .build)
  objdump -t "$object" | awk -v module="$module" -v file="$(basename "$object")" '
    # "address flags section<TAB>size [visibility] name": flags are seven columns from the 18th.
    /^[0-9a-f]+ .......\ \.text/ {
      binding = substr($0, 18, 1) == "l" ? "local" : substr($0, 18, 1) == "u" ? "unique" \
        : substr($0, 19, 1) == "w" ? "weak" : "global"
      if (binding != "local") print module, file, binding, $NF
    }'
done <"$work/objects" >"$work/functions"

for module in KernelsAVX2 KernelsAVXVNNI KernelsAVX512; do
  grep "^$module " "$work/functions" >"$work/own" || {
    echo "error: no functions of $module were linked; has it been renamed?" >&2
    exit 70
  }
  # Names of the module's own begin with its mangled name; nobody else emits those.
  awk -v prefix="\$s${#module}$module" -v module="$module" '
    NR == FNR { if ($1 != module) others[$4] = $1 "/" $2; next }
    index($4, prefix) != 1 && $3 != "global" { print "error: " $1 "/" $2 " has the " $3 " function " $4; bad = 1 }
    $4 in others { print "error: " $1 "/" $2 " defines " $4 ", as does " others[$4]; bad = 1 }
    END { exit bad }' "$work/functions" "$work/own" >"$work/faults" || failed=1
  swift demangle -simplified <"$work/faults" >&2
  echo "kernel symbols: $module: $(wc -l <"$work/own") functions ($(grep -c ' weak ' "$work/own" || true) weak)" \
    "in $(grep -c "/$module\.build/" "$work/objects") objects, beside" \
    "$(grep -vc "/$module\.build/" "$work/objects") other objects: $(wc -l <"$work/faults") could be shared"
done

objdump -d --no-show-raw-insn "$program" | awk '
  /^[0-9a-f]+ <.*>:$/ { name = substr($2, 2, length($2) - 3); functions++; next }
  # VEX and EVEX instructions begin with v (verr, verw, vm... of the privileged sets do not count);
  # mask instructions and operands of AVX-512 name k0 to k7.
  $2 == "{vex}" || $2 ~ /^v/ && $2 !~ /^(verr|verw|vm[a-z]*call|vmlaunch|vmresume|vmread|vmwrite|vmxo)/ || /%[yz]mm|%k[0-7]/ {
    is512 = /%zmm|%k[0-7]|%[xy]mm(1[6-9]|2[0-9]|3[01])/
    kind = index(name, "$s13KernelsAVX512") == 1 ? "AVX512" : index(name, "$s14KernelsAVXVNNI") == 1 ? "AVXVNNI" \
      : index(name, "$s11KernelsAVX2") == 1 ? "AVX2" : "none"
    isVex = /\{vex\} *vpdp/
    is512 = is512 || /vpdp/ && !isVex
    count[kind]++
    wide[kind] += is512
    dots[kind] += isVex
    if (kind == "none" || is512 && kind != "AVX512" || isVex && kind != "AVXVNNI") bad[name]++
  }
  END {
    for (name in bad) print "error: " bad[name] " instructions that not every CPU has in " name >"/dev/stderr"
    if (!count["AVX2"] || !dots["AVXVNNI"] || !wide["AVX512"]) {
      print "error: found no kernels in the program; has the build lost its flags?" >"/dev/stderr"
      exit 1
    }
    printf "kernel symbols: %d functions of the program: ", functions
    printf "%d AVX instructions in KernelsAVX2, %d in KernelsAVXVNNI (%d of AVX-512 in both), ", \
      count["AVX2"], count["AVXVNNI"], wide["AVX2"] + wide["AVXVNNI"]
    printf "%d in KernelsAVX512, %d elsewhere\n", count["AVX512"], count["none"]
    for (name in bad) exit 1
  }' || failed=1
exit $failed
