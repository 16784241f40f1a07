import BlockFormats
import Checkpoints
import Compute
import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("stored tensors")
struct StoredTensorTests {
  private let folder: TemporaryFolder
  private let bytes: [UInt8]
  private let path: String

  init() throws {
    folder = try TemporaryFolder()
    bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    path = try folder.write(bytes, to: "weights")
  }

  private func read(_ tensor: any WeightStorage, _ range: Range<Int>) throws -> [UInt8] {
    var copy: [UInt8] = []
    try tensor.withBytes(range) { pointer in
      copy = Array(UnsafeRawBufferPointer(start: pointer, count: range.count))
    }
    return copy
  }

  @Test("bytes are the same each time, kept or not, mapped or read", arguments: FileAccess.allCases)
  func bytesAreRight(_ access: FileAccess) throws {
    let file = try MappedFile(path: path, access: access)
    let tensor = StoredTensor(file, 12_345..<212_345)
    #expect(tensor.byteCount == 200_000)
    for keeping in [WeightKeeping.inPlace, .none, .copied, .none, .copied, .inPlace] {
      tensor.keeping = keeping
      for range in [0..<200_000, 0..<1, 100..<8292, 199_999..<200_000, 77..<77] {
        tensor.prefetch()
        let expected = bytes[12_345 + range.lowerBound..<12_345 + range.upperBound]
        #expect(try read(tensor, range) == Array(expected))
      }
      tensor.drop()
    }
  }

  @Test("what lies outside of a tensor is not given")
  func outside() throws {
    let tensor = StoredTensor(try MappedFile(path: path), 100..<200)
    for range in [0..<101, -1..<5, 100..<101] {
      #expect(throws: ComputeError.self) { try read(tensor, range) }
    }
  }

  @Test("a file that was written to, cut or touched is refused", arguments: FileAccess.allCases)
  func changes(_ access: FileAccess) throws {
    for change in 0..<3 {
      let path = try folder.write(bytes, to: "changing-\(change)")
      let file = try MappedFile(path: path, access: access)
      let tensor = StoredTensor(file, 0..<bytes.count)
      tensor.keeping = .none
      #expect(try read(tensor, 0..<10) == Array(bytes[..<10]))
      let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
      switch change {
      case 0: try handle.write(contentsOf: Data([1, 2, 3]))
      case 1: try handle.truncate(atOffset: 1000)
      default:
        try FileManager.default.setAttributes(
          [.modificationDate: Date(timeIntervalSince1970: 1000)], ofItemAtPath: path)
      }
      try handle.close()
      let error = #expect(throws: ComputeError.self) { try read(tensor, 0..<10) }
      #expect("\(error.map(\.description) ?? "")".contains("was changed while in use"))
    }
  }

  @Test("bytes that are held stay until all holds end", arguments: FileAccess.allCases)
  func holds(_ access: FileAccess) throws {
    let tensor = StoredTensor(try MappedFile(path: path, access: access), 5..<50_005)
    tensor.hold()
    tensor.hold()
    for _ in 0..<3 { #expect(try read(tensor, 10..<20) == Array(bytes[15..<25])) }
    tensor.endHold()
    #expect(try read(tensor, 10..<20) == Array(bytes[15..<25]))
    tensor.endHold()
    #expect(try read(tensor, 0..<50_000) == Array(bytes[5..<50_005]))
  }

  @Test("a file that was replaced or removed stays readable", arguments: FileAccess.allCases)
  func replacement(_ access: FileAccess) throws {
    let path = try folder.write(bytes, to: "replaced")
    let tensor = StoredTensor(try MappedFile(path: path, access: access), 5..<50_005)
    tensor.keeping = .none
    let other = try folder.write([1], to: "other")
    #expect(rename(other, path) == 0)
    #expect(try read(tensor, 0..<50_000) == Array(bytes[5..<50_005]))
  }

  @Test("a stream keeps as many weights as fit, the first ones, and counts shared ones once")
  func keeping() throws {
    let file = try MappedFile(path: path)
    let tensors = (0..<4).map { StoredTensor(file, $0 * 50_000..<$0 * 50_000 + 40_000) }
    let matrices = tensors.map {
      WeightMatrix(
        segments: [.init(storage: $0, type: .f32, rows: 100)], columns: 100)
    }
    let stream = WeightStream(
      [[matrices[0], matrices[1]], [matrices[2], matrices[0], matrices[3]]], repeats: true)
    #expect(stream.byteCount == 160_000)
    #expect(stream.largestLayerBytes == 80_000)
    #expect(stream.residence(keepingAtMost: 100_000) == (80_000, 80_000))
    #expect(stream.residence(keepingAtMost: 0) == (0, 80_000))
    #expect(stream.aheadBytes == 80_000)
    // Room for what passes and what is read ahead; more is kept only if all is.
    #expect(stream.residence(within: 159_999) == (0, 80_000))
    #expect(stream.residence(within: 160_000) == (160_000, 0))
    #expect(stream.residence(within: 10) == (0, 80_000))
    let small = WeightStream(
      stride(from: 0, to: 6, by: 2).map { layer in
        (layer..<layer + 2).map { index in
          let storage = StoredTensor(file, index * 10_000..<(index + 1) * 10_000)
          return WeightMatrix(
            segments: [.init(storage: storage, type: .f32, rows: 25)], columns: 100)
        }
      })
    #expect(small.aheadBytes == 20_000)
    #expect(small.residence(within: 50_000) == (10_000, 20_000))
    #expect(small.residence(within: 55_000) == (10_000, 20_000))
    #expect(small.residence(within: 59_999) == (10_000, 20_000))
    #expect(stream.keep(atMost: 100_000) == 80_000)
    #expect(tensors.map(\.keeping) == [.copied, .copied, .none, .none])
    #expect(stream.keep(atMost: 0) == 0)
    #expect(tensors.allSatisfy { $0.keeping == .none })
    for tensor in tensors + tensors { #expect(try read(tensor, 0..<3).count == 3) }
  }
}
