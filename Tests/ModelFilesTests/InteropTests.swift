import Foundation
import ModelFiles
import TestSupport
import Testing

/// Files of other programs, which the project does not ship.
@Suite(.enabled(if: Fixtures.extraData != nil, Comment(rawValue: Fixtures.extraDataReason)))
struct InteropTests {
  private func files(_ folder: String, _ ending: String) throws -> [String] {
    let url = try #require(Fixtures.extraData).appendingPathComponent(folder)
    let names = try FileManager.default.contentsOfDirectory(atPath: url.path).sorted()
    return names.filter { $0.hasSuffix(ending) }.map { url.appendingPathComponent($0).path }
  }

  @Test(
    "Files of other writers open, and every tensor can be read",
    arguments: [("interop/gguf", ".gguf"), ("interop/safetensors", ".safetensors")])
  func filesOpen(_ folder: String, _ ending: String) throws {
    let paths = try files(folder, ending)
    #expect(!paths.isEmpty)
    for path in paths {
      let archive = try TensorArchive(path: path)
      #expect(archive.format == (ending == ".gguf" ? .gguf : .safetensors))
      for index in archive.tensors.records.indices {
        let record = archive.tensors.records[index]
        let contents = archive.contents(of: index)
        #expect(contents.bytes.count == record.byteCount, "\(record.name)")
        #expect(contents.bytes.first != nil || record.elementCount == 0, "\(record.name)")
      }
      withExtendedLifetime(archive) {}
    }
  }

  @Test("llama.cpp's vocabulary file has its 32,000 tokens")
  func vocabularyOpens() throws {
    let data = try #require(Fixtures.extraData)
    let archive = try TensorArchive(
      path: data.appendingPathComponent("tokenizers/vectors/ggml-vocab-llama-spm.gguf").path)
    let tokens = try #require(archive.gguf?.value(for: "tokenizer.ggml.tokens"))
    #expect(tokens.elementCount == 32_000)
    let texts = try #require(tokens.elements()).compactMap(\.string)
    #expect(texts.count == 32_000)
    #expect(texts.prefix(3) == ["<unk>", "<s>", "</s>"])
  }
}
