// swift-tools-version: 6.2
import PackageDescription

/// Lets a target use instructions that not every CPU has. What such a target contains runs only
/// after `Kernels` has found them; tools/check-kernel-symbols.sh sees to it that none of its code
/// can be called otherwise.
func instructions(_ features: String...) -> [SwiftSetting] {
  [.unsafeFlags(features.flatMap { ["-Xcc", "-m\($0)"] }, .when(platforms: [.linux]))]
}

// Kernels for the CPUs of the architecture that is built for.
#if arch(x86_64)
  let vectorTargets: [Target] = [
    .target(
      name: "KernelsAVX2", dependencies: ["BlockFormats", "CIntrinsics", "KernelInterface"],
      swiftSettings: instructions("avx2", "fma", "f16c")),
    .target(
      name: "KernelsAVXVNNI", dependencies: ["BlockFormats", "CIntrinsics", "KernelInterface"],
      swiftSettings: instructions("avx2", "fma", "f16c", "avxvnni")),
    .target(
      name: "KernelsAVX512", dependencies: ["BlockFormats", "CIntrinsics", "KernelInterface"],
      swiftSettings: instructions(
        "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni")),
  ]
#else
  let vectorTargets: [Target] = []
#endif
let kernelSets: [Target.Dependency] =
  (vectorTargets.map(\.name) + ["KernelsPortable"]).map { .target(name: $0) }

let package = Package(
  name: "auraflow",
  products: [
    .executable(name: "auraflow", targets: ["CommandLineTool"]),
    .library(name: "TextToImage", targets: ["TextToImage"]),
  ],
  dependencies: [
    // Subcommands, --help and shell completions of the command line tool.
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    // Dense float32 products, which the benchmark measures ours against.
    .systemLibrary(name: "COpenBLAS", providers: [.apt(["libopenblas-dev"])]),
    // PNG encoding.
    .systemLibrary(name: "CLibPNG", providers: [.apt(["libpng-dev"])]),

    // Each target may import only targets above it; tools/check-layers.py holds the code to it.
    .target(name: "StrictJSON"),
    .target(name: "BlockFormats"),
    .target(name: "Tokenizers", dependencies: ["StrictJSON"]),
    .target(name: "Sampling"),
    .target(name: "Images", dependencies: ["CLibPNG"]),
    .target(name: "ImageMetrics", dependencies: ["Images"]),
    .target(name: "ModelFiles", dependencies: ["BlockFormats", "StrictJSON"]),
    // Vector instructions, as the compiler's headers name them.
    .systemLibrary(name: "CIntrinsics"),
    .target(name: "KernelInterface", dependencies: ["BlockFormats"]),
    .target(name: "KernelsPortable", dependencies: ["BlockFormats", "KernelInterface"]),
    .target(name: "Kernels", dependencies: kernelSets + ["CIntrinsics", "KernelInterface"]),
    .target(name: "Quantization", dependencies: ["BlockFormats", "KernelInterface", "Kernels"]),
    .target(
      name: "Tensors", dependencies: ["BlockFormats", "KernelInterface", "Kernels"]),
    .target(
      name: "Checkpoints", dependencies: ["BlockFormats", "ModelFiles", "Tensors", "StrictJSON"]),
    .target(
      name: "Networks", dependencies: ["Checkpoints", "ModelFiles", "StrictJSON", "Tensors"]),
    // One target for each family of models, each in a folder of its own.
    .target(
      name: "AuraFlowFamily",
      dependencies: ["Checkpoints", "ModelFiles", "Networks", "StrictJSON", "Tensors"],
      path: "Sources/Families/AuraFlow"),
    // The list of families.
    .target(name: "ModelCatalog", dependencies: ["AuraFlowFamily", "Checkpoints"]),
    .target(
      name: "ModelSynthesis",
      dependencies: ["BlockFormats", "Checkpoints", "ModelFiles", "StrictJSON", "Tensors"]),
    .target(
      name: "Conversion",
      dependencies: [
        "BlockFormats", "Checkpoints", "KernelInterface", "ModelFiles", "Quantization",
        "StrictJSON", "Tensors", "Tokenizers",
      ]),
    .target(
      name: "TextToImage",
      dependencies: [
        "AuraFlowFamily", "Checkpoints", "Images", "ModelCatalog", "ModelFiles", "Networks",
        "Sampling", "StrictJSON", "Tensors", "Tokenizers",
      ]),
    // What pictures and weights of a quantization level are away from a reference's.
    .target(
      name: "Comparison",
      dependencies: [
        "BlockFormats", "Checkpoints", "Conversion", "ImageMetrics", "Images", "ModelCatalog",
        "ModelFiles", "Quantization", "StrictJSON", "Tensors", "TextToImage",
      ],
      resources: [
        .embedInCode("Resources/report.html"), .embedInCode("Resources/report.css"),
        .embedInCode("Resources/report.js"),
      ]),
    // The types with which a model of a given size loses least.
    .target(
      name: "BitAllocation",
      dependencies: [
        "BlockFormats", "Checkpoints", "Conversion", "KernelInterface", "ModelFiles",
        "Quantization", "StrictJSON", "Tensors", "TextToImage",
      ]),
    .target(
      name: "Benchmarks",
      dependencies: [
        "AuraFlowFamily", "BlockFormats", "COpenBLAS", "Checkpoints", "KernelInterface",
        "ModelCatalog", "ModelFiles",
        "ModelSynthesis", "Networks", "Quantization", "Tensors",
      ]),
    .executableTarget(
      name: "CommandLineTool",
      dependencies: [
        "Benchmarks", "BitAllocation", "BlockFormats", "Checkpoints", "Comparison", "Conversion",
        "ImageMetrics", "Kernels", "ModelCatalog", "ModelFiles", "ModelSynthesis",
        "Quantization", "StrictJSON", "Tensors", "TextToImage",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    .target(
      name: "TestSupport",
      dependencies: [
        "AuraFlowFamily", "BlockFormats", "Checkpoints", "Conversion", "ModelCatalog",
        "ModelFiles", "ModelSynthesis", "StrictJSON",
      ],
      path: "Tests/TestSupport"),
    .testTarget(name: "StrictJSONTests", dependencies: ["StrictJSON"]),
    .testTarget(name: "BlockFormatsTests", dependencies: ["BlockFormats", "TestSupport"]),
    .testTarget(name: "TokenizersTests", dependencies: ["StrictJSON", "Tokenizers"]),
    .testTarget(name: "SamplingTests", dependencies: ["Sampling", "StrictJSON", "TestSupport"]),
    .testTarget(name: "ImagesTests", dependencies: ["Images"]),
    .testTarget(
      name: "ImageMetricsTests",
      dependencies: ["ImageMetrics", "Images", "StrictJSON", "TestSupport"]),
    .testTarget(name: "ModelFilesTests", dependencies: ["ModelFiles", "TestSupport"]),
    .testTarget(
      name: "QuantizationTests",
      dependencies: [
        "BlockFormats", "KernelInterface", "Kernels", "Quantization", "StrictJSON", "TestSupport",
      ]),
    .testTarget(
      name: "TensorsTests",
      dependencies: [
        "Benchmarks", "BlockFormats", "KernelInterface", "Kernels", "Tensors", "TestSupport",
      ]),
    .testTarget(
      name: "CheckpointsTests",
      dependencies: [
        "AuraFlowFamily", "BlockFormats", "Checkpoints", "ModelCatalog", "ModelFiles", "Networks",
        "Tensors", "TestSupport",
      ]),
    .testTarget(
      name: "NetworksTests", dependencies: ["Checkpoints", "Networks", "Tensors", "TestSupport"]),
    .testTarget(
      name: "AuraFlowFamilyTests",
      dependencies: ["AuraFlowFamily", "Checkpoints", "Networks", "Tensors", "TestSupport"],
      path: "Tests/FamiliesTests/AuraFlow"),
    .testTarget(
      name: "ModelSynthesisTests",
      dependencies: [
        "BlockFormats", "Checkpoints", "ModelFiles", "ModelSynthesis", "StrictJSON", "Tensors",
        "TestSupport", "Tokenizers",
      ]),
    .testTarget(
      name: "ConversionTests",
      dependencies: [
        "AuraFlowFamily", "BlockFormats", "Checkpoints", "Conversion", "ModelFiles",
        "ModelSynthesis", "Networks", "Quantization", "StrictJSON", "Tensors", "TestSupport",
        "TextToImage", "Tokenizers",
      ]),
    .testTarget(
      name: "BitAllocationTests",
      dependencies: [
        "BitAllocation", "BlockFormats", "Checkpoints", "Conversion", "ModelFiles",
        "ModelSynthesis", "Tensors", "TestSupport", "TextToImage",
      ]),
    .testTarget(
      name: "ComparisonTests",
      dependencies: [
        "Checkpoints", "Comparison", "Conversion", "Images", "ModelFiles", "ModelSynthesis",
        "StrictJSON", "Tensors", "TestSupport", "TextToImage",
      ]),
    .testTarget(
      name: "EndToEndTests",
      dependencies: [
        "BlockFormats", "Checkpoints", "CommandLineTool", "Conversion", "Images", "Kernels",
        "ModelFiles", "StrictJSON", "Tensors", "TestSupport", "TextToImage",
      ]),
  ] + vectorTargets
)
