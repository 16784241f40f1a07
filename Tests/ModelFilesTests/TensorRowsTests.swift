import ModelFiles
import TestSupport
import Testing

@Suite("Rows of vectors in files")
struct TensorRowsTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func archive(_ tensors: [SafetensorsWriter.FloatTensor]) throws -> TensorArchive {
    try TensorArchive(
      path: try folder.write(SafetensorsWriter.encode(tensors), to: "rows.safetensors"))
  }

  @Test("rows come back bit by bit")
  func roundTrip() throws {
    let rows: [[Float]] = [[1, -0.0, .leastNonzeroMagnitude], [.infinity, 3, 1e30]]
    let archive = try archive([.init("latents", rows: rows)])
    #expect(archive.hasRows(of: "latents", count: 2))
    #expect(
      try archive.rows(of: "latents", count: 2)?.map { $0.map(\.bitPattern) }
        == rows.map { $0.map(\.bitPattern) })
  }

  @Test("other counts, shapes and names are no such rows")
  func others() throws {
    let archive = try archive([
      .init("latents", rows: [[1], [2]]), .init(name: "vector", shape: [2], values: [1, 2]),
      .init("empty", rows: [[], []]),
    ])
    for (name, count) in [("latents", 1), ("latents", 3), ("vector", 2), ("empty", 2), ("x", 0)] {
      #expect(!archive.hasRows(of: name, count: count))
      #expect(try archive.rows(of: name, count: count) == nil, "\(name)")
    }
  }
}
