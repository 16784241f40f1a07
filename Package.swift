// swift-tools-version: 6.2
import PackageDescription

/// Lets a target use instructions that not every CPU has. What such a target contains runs only
/// after `Kernels` has found them; tools/check-kernel-symbols.sh sees to it that none of its code
/// can be called otherwise.
func instructions(_ features: String...) -> [SwiftSetting] {
  [.unsafeFlags(features.flatMap { ["-Xcc", "-m\($0)"] }, .when(platforms: [.linux]))]
}

/// Networks know devices and handles, never memory: the compiler refuses pointers there.
let withoutPointers: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatWarning("StrictMemorySafety", as: .error),
]

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

// A program of libFuzzer has no main of its own, so that it links only as tools/fuzz.sh builds it.
let fuzzer: [Target] =
  Context.environment["AURAFLOW_FUZZER"] == nil
  ? []
  : [
    .executableTarget(
      name: "Fuzzer", dependencies: ["Fuzzing"], path: "Tests/Fuzzer",
      swiftSettings: [.unsafeFlags(["-parse-as-library"])])
  ]

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
    // Factors and sums of second moments for quantization, and dense float32 products, which the
    // benchmark measures ours against.
    .systemLibrary(name: "COpenBLAS", providers: [.apt(["libopenblas-dev"])]),
    // PNG pictures, written and read.
    .systemLibrary(name: "CLibPNG", providers: [.apt(["libpng-dev"])]),

    // Each target may import only targets above it; tools/check-layers.py holds the code to it.
    .target(name: "StrictJSON"),
    // Threads, memory and what limits them.
    .target(name: "Machine"),
    .target(name: "LinearAlgebra", dependencies: ["COpenBLAS", "Machine"]),
    .target(name: "BlockFormats"),
    .target(name: "Tokenizers", dependencies: ["StrictJSON"]),
    .target(name: "Images", dependencies: ["CLibPNG"]),
    .target(name: "ImageMetrics", dependencies: ["Images"]),
    .target(name: "ModelFiles", dependencies: ["BlockFormats", "StrictJSON"]),
    // Vector instructions, as the compiler's headers name them.
    .systemLibrary(name: "CIntrinsics"),
    .target(name: "KernelInterface", dependencies: ["BlockFormats"]),
    .target(name: "KernelsPortable", dependencies: ["BlockFormats", "KernelInterface"]),
    .target(name: "Kernels", dependencies: kernelSets + ["CIntrinsics", "KernelInterface"]),
    .target(
      name: "Quantization",
      dependencies: [
        "BlockFormats", "COpenBLAS", "KernelInterface", "Kernels", "LinearAlgebra", "Machine",
      ]),
    // What networks compute with: devices, and handles of what lies in their memory.
    .target(name: "Compute", dependencies: ["BlockFormats", "KernelInterface", "Machine"]),
    .target(
      name: "ComputeCPU",
      dependencies: ["BlockFormats", "Compute", "KernelInterface", "Kernels", "Machine"]),
    .target(
      name: "Checkpoints",
      dependencies: [
        "BlockFormats", "Compute", "Machine", "ModelFiles", "StrictJSON", "Tokenizers",
      ]),
    // What a text-to-image model is made of, whatever its family.
    .target(
      name: "Diffusion", dependencies: ["Checkpoints", "Compute", "ModelFiles", "StrictJSON"],
      swiftSettings: withoutPointers),
    .target(
      name: "Networks",
      dependencies: ["Checkpoints", "Compute", "Diffusion", "ModelFiles", "StrictJSON"],
      swiftSettings: withoutPointers),
    // One target for each family of models, each in a folder of its own.
    .target(
      name: "AuraFlowFamily",
      dependencies: [
        "Checkpoints", "Compute", "Diffusion", "ModelFiles", "Networks", "StrictJSON", "Tokenizers",
      ],
      path: "Sources/Families/AuraFlow", swiftSettings: withoutPointers),
    .target(
      name: "FluxFamily",
      dependencies: [
        "Checkpoints", "Compute", "Diffusion", "ModelFiles", "Networks", "StrictJSON", "Tokenizers",
      ],
      path: "Sources/Families/Flux", swiftSettings: withoutPointers),
    // The list of families.
    .target(
      name: "ModelCatalog",
      dependencies: [
        "AuraFlowFamily", "Checkpoints", "Diffusion", "FluxFamily", "ModelFiles", "Networks",
      ]),
    .target(
      name: "ModelSynthesis",
      dependencies: [
        "BlockFormats", "Checkpoints", "Machine", "ModelFiles", "StrictJSON", "Tokenizers",
      ]),
    .target(
      name: "Conversion",
      dependencies: [
        "BlockFormats", "Checkpoints", "Compute", "Diffusion", "KernelInterface", "Kernels",
        "Machine", "ModelFiles", "Quantization", "StrictJSON", "Tokenizers",
      ]),
    .target(
      name: "TextToImage",
      dependencies: [
        "Checkpoints", "Compute", "ComputeCPU", "Diffusion", "Images", "Machine", "ModelCatalog",
        "ModelFiles", "StrictJSON",
      ]),
    // What pictures and weights of a quantization level are away from a reference's.
    .target(
      name: "Comparison",
      dependencies: [
        "BlockFormats", "Checkpoints", "ComputeCPU", "Conversion", "ImageMetrics", "Images",
        "Machine", "ModelCatalog", "ModelFiles", "Quantization", "StrictJSON", "TextToImage",
      ],
      resources: [
        .embedInCode("Resources/report.html"), .embedInCode("Resources/report.css"),
        .embedInCode("Resources/report.js"),
      ]),
    // The types with which a model of a given size loses least.
    .target(
      name: "BitAllocation",
      dependencies: [
        "BlockFormats", "Checkpoints", "Compute", "ComputeCPU", "Conversion", "Diffusion",
        "KernelInterface", "Kernels", "LinearAlgebra", "Machine", "ModelFiles", "Quantization",
        "StrictJSON",
        "TextToImage",
      ]),
    // Weights that are rounded for what enters them in real pictures.
    .target(
      name: "Calibration",
      dependencies: [
        "BitAllocation", "BlockFormats", "Checkpoints", "ComputeCPU", "Conversion", "Diffusion",
        "LinearAlgebra", "Machine", "ModelFiles", "Quantization", "StrictJSON", "TextToImage",
      ]),
    .target(
      name: "Benchmarks",
      dependencies: [
        "BlockFormats", "COpenBLAS", "Checkpoints", "Compute", "ComputeCPU", "Diffusion",
        "KernelInterface", "LinearAlgebra", "Machine", "ModelCatalog", "ModelFiles",
        "ModelSynthesis", "Networks", "Quantization",
      ]),
    .executableTarget(
      name: "CommandLineTool",
      dependencies: [
        "Benchmarks", "BitAllocation", "BlockFormats", "Calibration", "Checkpoints", "Comparison",
        "Conversion",
        "Compute", "ComputeCPU", "ImageMetrics", "Images", "Kernels", "LinearAlgebra", "Machine",
        "ModelCatalog", "ModelFiles", "ModelSynthesis", "Quantization", "StrictJSON", "TextToImage",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    .target(
      name: "TestSupport",
      dependencies: [
        "AuraFlowFamily", "BlockFormats", "Checkpoints", "Compute", "Conversion", "Diffusion",
        "ModelCatalog", "ModelFiles", "ModelSynthesis", "StrictJSON",
      ],
      path: "Tests/TestSupport"),
    // Readers of untrusted bytes, as the fuzzer and the replay of what it found call them.
    .target(
      name: "Fuzzing",
      dependencies: [
        "BlockFormats", "Checkpoints", "Images", "ModelFiles", "StrictJSON", "Tokenizers",
      ],
      path: "Tests/Fuzzing"),
    .testTarget(name: "FuzzingTests", dependencies: ["Fuzzing"]),
    .testTarget(name: "StrictJSONTests", dependencies: ["StrictJSON"]),
    .testTarget(name: "BlockFormatsTests", dependencies: ["BlockFormats", "TestSupport"]),
    .testTarget(name: "TokenizersTests", dependencies: ["StrictJSON", "Tokenizers"]),
    .testTarget(
      name: "DiffusionTests",
      dependencies: [
        "Checkpoints", "Diffusion", "ModelCatalog", "ModelFiles", "StrictJSON", "TestSupport",
        "Tokenizers",
      ]),
    .testTarget(name: "ImagesTests", dependencies: ["Images", "TestSupport"]),
    .testTarget(
      name: "ImageMetricsTests",
      dependencies: ["ImageMetrics", "Images", "StrictJSON", "TestSupport"]),
    .testTarget(name: "ModelFilesTests", dependencies: ["ModelFiles", "TestSupport"]),
    .testTarget(
      name: "QuantizationTests",
      dependencies: [
        "BlockFormats", "KernelInterface", "Kernels", "KernelsPortable", "LinearAlgebra",
        "Quantization", "StrictJSON", "TestSupport",
      ]),
    .testTarget(
      name: "ComputeCPUTests",
      dependencies: [
        "Benchmarks", "BlockFormats", "Compute", "ComputeCPU", "KernelInterface", "Kernels",
        "Machine", "TestSupport",
      ]),
    .testTarget(
      name: "CheckpointsTests",
      dependencies: [
        "AuraFlowFamily", "BlockFormats", "Checkpoints", "Compute", "ComputeCPU", "Machine",
        "ModelCatalog", "ModelFiles", "Networks", "StrictJSON", "TestSupport",
      ]),
    .testTarget(name: "MachineTests", dependencies: ["Machine", "TestSupport"]),
    .testTarget(
      name: "NetworksTests",
      dependencies: [
        "Checkpoints", "Compute", "ComputeCPU", "Diffusion", "FluxFamily", "Machine", "ModelFiles",
        "Networks", "TestSupport",
      ]),
    .testTarget(
      name: "TextToImageTests",
      dependencies: [
        "Checkpoints", "Compute", "ComputeCPU", "Diffusion", "Machine", "ModelCatalog",
        "TestSupport", "TextToImage",
      ]),
    .testTarget(
      name: "AuraFlowFamilyTests",
      dependencies: [
        "AuraFlowFamily", "Checkpoints", "Compute", "ComputeCPU", "Diffusion", "Machine",
        "Networks",
        "TestSupport",
      ],
      path: "Tests/FamiliesTests/AuraFlow"),
    .testTarget(
      name: "FluxFamilyTests",
      dependencies: [
        "Checkpoints", "Compute", "ComputeCPU", "Diffusion", "FluxFamily", "Machine", "TestSupport",
      ],
      path: "Tests/FamiliesTests/Flux"),
    .testTarget(
      name: "ModelSynthesisTests",
      dependencies: [
        "BlockFormats", "Checkpoints", "ModelFiles", "ModelSynthesis", "StrictJSON", "Compute",
        "ComputeCPU", "Machine",
        "TestSupport", "Tokenizers",
      ]),
    .testTarget(
      name: "ConversionTests",
      dependencies: [
        "AuraFlowFamily", "BlockFormats", "Checkpoints", "Compute", "Conversion", "Machine",
        "ModelFiles", "ModelSynthesis", "Networks", "Quantization", "StrictJSON", "TestSupport",
        "TextToImage", "Tokenizers",
      ]),
    .testTarget(
      name: "BitAllocationTests",
      dependencies: [
        "BitAllocation", "BlockFormats", "Checkpoints", "Conversion", "ModelFiles",
        "ModelSynthesis", "Compute", "ComputeCPU", "Machine", "TestSupport", "TextToImage",
      ]),
    .testTarget(
      name: "ComparisonTests",
      dependencies: [
        "Checkpoints", "Comparison", "Conversion", "Images", "ModelFiles", "ModelSynthesis",
        "StrictJSON", "Compute", "ComputeCPU", "Machine", "TestSupport", "TextToImage",
      ]),
    // A program that uses the library as other packages do: package access is hidden from it.
    .executableTarget(
      name: "LibraryConsumer", dependencies: ["TextToImage"], path: "Tests/LibraryConsumer",
      swiftSettings: [.unsafeFlags(["-package-name", "consumer"])]),
    .testTarget(
      name: "EndToEndTests",
      dependencies: [
        "BlockFormats", "Checkpoints", "CommandLineTool", "Compute", "ComputeCPU", "Conversion",
        "Images", "Kernels", "LibraryConsumer", "Machine", "ModelCatalog", "ModelFiles",
        "StrictJSON", "TestSupport", "TextToImage",
      ]),
  ] + vectorTargets + fuzzer
)
