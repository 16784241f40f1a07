// Shows the CPU's vector instructions to Swift. No logic.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>

// What the CPU has and the operating system saves: asked through the compiler, which alone knows
// the names.
static inline int cpuSupportsAVX2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

static inline int cpuSupportsAVXVNNI(void) {
  return cpuSupportsAVX2() && __builtin_cpu_supports("avxvnni");
}

static inline int cpuSupportsAVX512VNNI(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif
