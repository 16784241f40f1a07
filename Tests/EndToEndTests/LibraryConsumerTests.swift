import Foundation
import TestSupport
import Testing

/// Another program that uses the library product.
@Suite("The library from outside")
struct LibraryConsumerTests {
  private let manifest = """
    // swift-tools-version: 6.2
    import PackageDescription

    let package = Package(
      name: "consumer",
      dependencies: [.package(name: "auraflow", path: "CHECKOUT")],
      targets: [
        .executableTarget(
          name: "consumer",
          dependencies: [.product(name: "TextToImage", package: "auraflow")])
      ])
    """

  private let program = """
    import TextToImage

    @main
    struct Consumer {
      static func main() async throws {
        let pipeline = try Pipeline(path: CommandLine.arguments[1])
        var request = GenerationRequest(prompt: "a red apple")
        request.steps = 2
        let result = try await pipeline.generate(request) { progress in
          if progress.stage == .denoising {
            print("step", progress.step, progress.sigma, progress.latents.count)
          }
        }
        print(result.images[0].width, try result.images[0].pngData().count > 100)
        let task = Task {
          var long = request
          long.steps = 10_000
          return try await pipeline.generate(long)
        }
        try await Task.sleep(for: .milliseconds(300))
        task.cancel()
        do {
          _ = try await task.value
        } catch GenerationError.cancelled {
          print("cancelled")
        }
        do {
          _ = try Pipeline(path: "missing.gguf")
        } catch {
          print(error.kind)
        }
      }
    }
    """

  @Test(
    "a package that depends on it builds, generates, cancels and catches typed errors",
    .disabled(if: Sanitizer.isActive, "it builds a program of its own, without a sanitizer"))
  func consumer() throws {
    let folder = try TemporaryFolder()
    try folder.write(
      Array(manifest.replacing("CHECKOUT", with: Fixtures.checkout.path).utf8), to: "Package.swift")
    try folder.write(Array(program.utf8), to: "Sources/consumer/Consumer.swift")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      "swift", "run", "-c", "release", "--quiet", "--package-path", folder.path, "consumer",
      Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path,
    ]
    let output = folder.path("output.txt")
    try Data().write(to: URL(fileURLWithPath: output))
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    let lines = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 5)
    #expect(lines.first?.hasPrefix("step 1 ") == true && lines.first?.hasSuffix(" 1") == true)
    #expect(lines.dropFirst(2) == ["128 true", "cancelled", "notFound"])
  }
}
