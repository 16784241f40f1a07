import AuraFlowFamily
import Checkpoints
import ModelFiles
import TestSupport
import Testing

@Suite("Settings of parts")
struct PartSourceTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let setting = Setting(
    "norm_groups", metadata: "vae.norm_groups", config: "norm_num_groups",
    flag: "--vae-norm-groups", published: 3)

  /// A VAE in a folder of its own.
  private func source(
    configured: Int? = nil, hint: Int? = nil
  ) throws -> PartSource {
    let names = ["conv_in", "conv_out", "norm_out"].flatMap {
      ["decoder.\($0).weight", "decoder.\($0).bias"]
    }
    try folder.write(
      RawSafetensors.encode(names.map { .init($0, .f32, [1]) }), to: "vae/a.safetensors")
    let groups = configured.map { ", \"norm_num_groups\": \($0)" } ?? ""
    try folder.write(
      Array("{\"_class_name\": \"AutoencoderKL\"\(groups)}".utf8), to: "vae/config.json")
    var hints = ArchitectureHints()
    hints.normGroups = hint
    return try PartSource(.autoencoder, path: folder.path("vae"), hints: hints)
  }

  @Test("the family's value counts where nothing else tells, the network's own where it has none")
  func published() throws {
    #expect(try source().value(Self.setting, in: 1...99) == 32)
    let other = Setting("other", published: 7)
    #expect(try source().value(other, in: 1...99) == 7)
    let scale = try #require(
      AuraFlow.autoencoder.networks[0].settings.first { $0.key == "scaling_factor" })
    #expect(try source().published(scale) == 0.13025)
  }

  @Test("a configuration counts more than the published value, a flag must agree with it")
  func precedence() throws {
    #expect(try source(configured: 8).integer(Self.setting, in: 1...99) == 8)
    #expect(try source(hint: 4).integer(Self.setting, in: 1...99) == 4)
    #expect(try source(configured: 4, hint: 4).integer(Self.setting, in: 1...99) == 4)
    let error = #expect(throws: ModelFileError.self) {
      _ = try source(configured: 8, hint: 4).integer(Self.setting, in: 1...99)
    }
    #expect(
      error?.fault == "--vae-norm-groups 4.0 contradicts the model's own value 8.0"
        && error?.kind == .contradicted)
  }

  @Test("numbers out of range are refused wherever they stand")
  func ranges() throws {
    #expect(throws: ModelFileError.self) {
      _ = try source(configured: 100).integer(Self.setting, in: 1...99)
    }
    #expect(throws: ModelFileError.self) {
      _ = try source(hint: 100).integer(Self.setting, in: 1...99)
    }
  }

  @Test("hints are told apart by their settings, and name caches")
  func hints() {
    var (one, other) = (ArchitectureHints(), ArchitectureHints())
    one.headDimension = 16
    one.scalingFactor = 0.5
    other.scalingFactor = 0.5
    #expect(one != other && one.description != other.description)
    other.headDimension = 16
    #expect(one == other && "\(one)" == "\(other)" && one.headDimension == 16)
  }
}
