import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("The cache of Hugging Face's hub")
struct HubCacheTests {
  private let folder: TemporaryFolder
  private let repository: String

  init() throws {
    folder = try TemporaryFolder()
    repository = folder.path("models--fal--AuraFlow")
    try folder.write([1], to: "models--fal--AuraFlow/blobs/abc123")
    try folder.write(Array("second\n".utf8), to: "models--fal--AuraFlow/refs/main")
    for revision in ["first", "second"] {
      let vae = repository + "/snapshots/\(revision)/vae"
      try FileManager.default.createDirectory(atPath: vae, withIntermediateDirectories: true)
      try FileManager.default.createSymbolicLink(
        atPath: vae + "/model.safetensors", withDestinationPath: "../../../blobs/abc123")
    }
  }

  @Test("a repository's folder stands for the snapshot that is meant")
  func repositoryFolder() throws {
    #expect(HubCache.resolve(repository) == repository + "/snapshots/second")
    #expect(HubCache.resolve(repository + "/") == repository + "/snapshots/second")
    let snapshots = HubCache.resolve(repository + "/snapshots")
    #expect(FileSystem.resolved(snapshots) == FileSystem.resolved(repository + "/snapshots/second"))
    // Without a reference the newest counts.
    try FileManager.default.removeItem(atPath: repository + "/refs/main")
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSinceNow: 100)],
      ofItemAtPath: repository + "/snapshots/first")
    #expect(HubCache.resolve(repository) == repository + "/snapshots/first")
  }

  @Test("a blob stands for the snapshot's link to it, which has a name and neighbours")
  func blob() {
    let link = HubCache.resolve(repository + "/blobs/abc123")
    #expect(link.hasSuffix("/snapshots/second/vae/model.safetensors"))
  }

  @Test("links that lead back are not followed", .timeLimit(.minutes(1)))
  func loops() throws {
    for number in 0..<200 {
      try FileManager.default.createSymbolicLink(
        atPath: repository + "/snapshots/second/\(number)", withDestinationPath: ".")
    }
    let other = try folder.write([1], to: "models--fal--AuraFlow/blobs/unlinked")
    #expect(HubCache.resolve(other) == other)
  }

  @Test("other paths stay as they are")
  func others() throws {
    let file = try folder.write([1], to: "blobs/other")
    for path in [folder.path, file, folder.path("nothing"), repository + "/snapshots/first"] {
      #expect(HubCache.resolve(path) == path)
    }
  }

  @Test("downloads that have not ended are counted")
  func unfinished() throws {
    #expect(HubCache.unfinishedCount(around: repository + "/snapshots/second") == 0)
    try folder.write([1], to: "models--fal--AuraFlow/blobs/def.incomplete")
    #expect(HubCache.unfinishedCount(around: repository + "/snapshots/second") == 1)
    #expect(HubCache.unfinishedCount(around: repository) == 1)
    #expect(
      HubCache.unfinishedCount(around: repository + "/snapshots/second/vae/model.safetensors") == 1)
    #expect(HubCache.unfinishedCount(around: folder.path) == 0)
  }
}
