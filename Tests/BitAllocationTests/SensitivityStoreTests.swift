import BitAllocation
import Foundation
import TestSupport
import Testing

@Suite("What was measured of a model")
struct SensitivityStoreTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func store(paths: String = "a cat", settings: String = "60") -> SensitivityStore {
    SensitivityStore(
      folder: folder.path("measured"), files: [], paths: paths, settings: settings)
  }

  @Test("errors and paths come back as they were; only paths serve other settings")
  func keeping() throws {
    let store = store()
    #expect(store.errors().isEmpty && store.paths(prompts: 1, steps: 1) == nil)
    try store.prepare()
    try store.keep(["double.value": 0.1, "single.up.1": 1e-9])
    let paths: [[[Float]]] = [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [-1, 0, 1e-30]]]
    try store.keep(paths: paths)
    #expect(store.errors() == ["double.value": 0.1, "single.up.1": 1e-9])
    #expect(store.paths(prompts: 2, steps: 1) == paths)
    #expect(store.paths(prompts: 3, steps: 1) == nil && store.paths(prompts: 2, steps: 2) == nil)

    let longer = self.store(settings: "120")
    #expect(longer.errors().isEmpty && longer.paths(prompts: 2, steps: 1) == paths)
    let other = self.store(paths: "a dog")
    #expect(other.errors().isEmpty && other.paths(prompts: 2, steps: 1) == nil)
  }

  @Test("damaged files count as absent")
  func damage() throws {
    let store = store()
    try store.prepare()
    try store.keep(["double.value": 0.1])
    try store.keep(paths: [[[1], [2]]])
    for name in try FileManager.default.contentsOfDirectory(atPath: store.folder) {
      let path = "measured/" + name
      let whole = try Data(contentsOf: URL(fileURLWithPath: folder.path(path)))
      try folder.write([UInt8](whole.dropLast(3)), to: path)
    }
    #expect(store.errors().isEmpty && store.paths(prompts: 1, steps: 1) == nil)
  }
}
