// swift-tools-version: 6.2
import PackageDescription

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
    // Dense float32 matrix products.
    .systemLibrary(name: "COpenBLAS", providers: [.apt(["libopenblas-dev"])]),
    // PNG encoding.
    .systemLibrary(name: "CLibPNG", providers: [.apt(["libpng-dev"])]),

    // Each target may import only targets above it; tools/check-layers.py holds the code to it.
    .target(name: "StrictJSON"),
    .target(name: "BlockFormats"),
    .target(name: "Tokenizers", dependencies: ["StrictJSON"]),
    .target(name: "Sampling"),
    .target(name: "Images", dependencies: ["CLibPNG"]),
    .target(name: "ModelFiles", dependencies: ["BlockFormats", "StrictJSON"]),
    .target(name: "Tensors", dependencies: ["BlockFormats", "COpenBLAS"]),
    .target(
      name: "Checkpoints", dependencies: ["BlockFormats", "ModelFiles", "Tensors", "StrictJSON"]),
    .target(name: "Networks", dependencies: ["Checkpoints", "ModelFiles", "Tensors"]),
    .target(
      name: "TextToImage",
      dependencies: [
        "Checkpoints", "Images", "ModelFiles", "Networks", "Sampling", "StrictJSON", "Tensors",
        "Tokenizers",
      ]),
    .executableTarget(
      name: "CommandLineTool",
      dependencies: [
        "BlockFormats", "Checkpoints", "ModelFiles", "StrictJSON", "TextToImage",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    .target(
      name: "TestSupport", dependencies: ["BlockFormats", "ModelFiles", "StrictJSON"],
      path: "Tests/TestSupport"),
    .testTarget(name: "StrictJSONTests", dependencies: ["StrictJSON"]),
    .testTarget(name: "BlockFormatsTests", dependencies: ["BlockFormats", "TestSupport"]),
    .testTarget(name: "TokenizersTests", dependencies: ["StrictJSON", "Tokenizers"]),
    .testTarget(name: "SamplingTests", dependencies: ["Sampling", "StrictJSON", "TestSupport"]),
    .testTarget(name: "ImagesTests", dependencies: ["Images"]),
    .testTarget(name: "ModelFilesTests", dependencies: ["ModelFiles", "TestSupport"]),
    .testTarget(name: "TensorsTests", dependencies: ["BlockFormats", "Tensors", "TestSupport"]),
    .testTarget(
      name: "CheckpointsTests", dependencies: ["Checkpoints", "ModelFiles", "TestSupport"]),
    .testTarget(
      name: "NetworksTests", dependencies: ["Checkpoints", "Networks", "Tensors", "TestSupport"]),
    .testTarget(
      name: "EndToEndTests",
      dependencies: ["CommandLineTool", "Images", "ModelFiles", "TestSupport", "TextToImage"]),
  ]
)
