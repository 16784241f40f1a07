import Foundation
import TestSupport
import Testing

/// Another program that uses the library product: `Tests/LibraryConsumer`.
@Suite("The library from outside")
struct LibraryConsumerTests {
  private func run(_ arguments: [String]) throws -> (status: Int32, lines: [Substring]) {
    let folder = try TemporaryFolder()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    let output = folder.path("output.txt")
    try Data().write(to: URL(fileURLWithPath: output))
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
    try process.run()
    process.waitUntilExit()
    let lines = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n")
    return (process.terminationStatus, lines)
  }

  @Test("it generates, cancels and catches typed errors")
  func consumer() throws {
    let (status, lines) = try run([
      CommandLine.executable.deletingLastPathComponent().path + "/LibraryConsumer",
      Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path,
    ])
    #expect(status == 0)
    #expect(lines.count == 8)
    #expect(lines.first?.hasPrefix("step 1 ") == true && lines.first?.hasSuffix(" 1") == true)
    #expect(
      lines.dropFirst(2) == ["128 true", "true", "ended", "refused", "cancelled", "notFound"])
  }

  @Test(
    "a package that depends on it is resolved and planned",
    .disabled(if: Sanitizer.isActive, "it builds a package of its own, without a sanitizer"))
  func package() throws {
    let folder = try TemporaryFolder()
    try folder.write(
      Array(
        """
        // swift-tools-version: 6.2
        import PackageDescription

        let package = Package(
          name: "consumer",
          dependencies: [.package(name: "auraflow", path: "\(Fixtures.checkout.path)")],
          targets: [
            .executableTarget(
              name: "consumer",
              dependencies: [.product(name: "TextToImage", package: "auraflow")]),
            .target(name: "unrelated"),
          ])
        """.utf8), to: "Package.swift")
    try folder.write(Array("import TextToImage\n".utf8), to: "Sources/consumer/main.swift")
    try folder.write([], to: "Sources/unrelated/Nothing.swift")
    // Every target's settings are checked before the first is built.
    let (status, _) = try run([
      "swift", "build", "-c", "release", "--quiet", "--package-path", folder.path, "--target",
      "unrelated",
    ])
    #expect(status == 0)
  }
}
