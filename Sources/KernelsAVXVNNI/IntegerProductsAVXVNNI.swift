import KernelInterface

/// Integer matmuls that replace those of AVX2 on CPUs with the VNNI instructions for its registers:
/// Intel since 2021 (12th generation; N100 and other small cores since 2023), which have no
/// AVX-512, and AMD since 2024.
///
/// Scales of groups need fewer instructions here than sums of blocks do there, and quantizing
/// activations group by group costs less accuracy.
package let integerProductsAVXVNNI = IntegerProducts(
  name: "avxvnni", largestInt8Sum: .max, multiplyInt8: multiplyInt8, multiplyInt16: multiplyInt16,
  unpack: unpack, runPeakLoop: runPeakLoop)
