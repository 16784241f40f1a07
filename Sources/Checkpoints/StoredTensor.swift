import Compute
import Foundation
import ModelFiles
import Synchronization

/// A tensor in a model file, as the networks access its bytes.
///
/// Of a mapped file the pages are used in place and given back after use; of others, and of tensors
/// that are kept beside others that are not, the bytes are read into memory of our own. The file is
/// checked at each use: bytes that changed since its header was read would be garbage.
package final class StoredTensor: WeightStorage {
  private let file: MappedFile
  private let range: Range<Int>
  /// Off until there is a plan: tables of which a few rows are used are not worth their memory.
  private let state = Atomic(WeightKeeping.none.rawValue)
  /// Uses for which bytes stay until all of them end.
  private let holds = Atomic(0)
  /// Whether the bytes may be expected in memory: they were used and stayed.
  private let isThere = Atomic(false)
  /// The whole tensor, where it was read or mapped by itself and is kept.
  private let content = Mutex<FileContent?>(nil)
  /// What is used next. Weak, since the last may be followed by the first.
  private let next = Mutex<[Successor]>([])
  /// Reading ahead may have to wait for the device; computing must not.
  private static let queue = DispatchQueue(label: "auraflow.prefetch", qos: .utility)

  private struct Successor: Sendable {
    weak var storage: (any WeightStorage)?
  }

  /// - Parameters:
  ///   - file: the file.
  ///   - range: the tensor's bytes in it.
  package init(_ file: MappedFile, _ range: Range<Int>) {
    self.file = file
    self.range = range
  }

  package var byteCount: Int { range.count }

  package var keeping: WeightKeeping {
    get { WeightKeeping(rawValue: state.load(ordering: .relaxed)) ?? .none }
    set { state.store(newValue.rawValue, ordering: .relaxed) }
  }

  private var stays: Bool { keeping != .none || holds.load(ordering: .relaxed) > 0 }

  package func hold() { holds.wrappingAdd(1, ordering: .relaxed) }

  package func endHold() {
    let left = holds.wrappingSubtract(1, ordering: .relaxed).newValue
    if left <= 0 && keeping == .none { drop() }
  }

  package func withBytes(
    _ part: Range<Int>, _ body: (UnsafeRawPointer) throws(ComputeError) -> Void
  ) throws(ComputeError) {
    let place = range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound
    guard part.lowerBound >= 0, place.upperBound <= range.upperBound else {
      throw .unreadable(path: file.path, fault: "rows outside of the tensor were requested")
    }
    try reading { () throws(ModelFileError) in try file.checkUnchanged() }
    prefetchNext()
    defer { isThere.store(stays, ordering: .relaxed) }
    if keeping != .copied, let base = file.wholeContent {
      defer { if !stays { file.release(place) } }
      return try body(base + place.lowerBound)
    }
    if stays {
      let whole = try wholeContent()
      try body(whole.pointer + part.lowerBound)
      return withExtendedLifetime(whole) {}
    }
    let piece = try reading { () throws(ModelFileError) in try file.content(place) }
    try body(piece.pointer)
    withExtendedLifetime(piece) {}
  }

  package func precede(_ next: [any WeightStorage]) {
    self.next.withLock { $0 = next.map { Successor(storage: $0) } }
  }

  private func prefetchNext() {
    // At later uses of one that stayed they have been asked for already.
    let next = next.withLock { $0 }
    guard !next.isEmpty, !isThere.load(ordering: .relaxed) else { return }
    Self.queue.async { for successor in next { successor.storage?.prefetch() } }
  }

  package func prefetch() {
    guard !isThere.load(ordering: .relaxed) else { return }
    file.prefetch(range)
  }

  package func drop() {
    isThere.store(false, ordering: .relaxed)
    content.withLock { $0 = nil }
    if file.wholeContent != nil { file.release(range) }
  }

  private func wholeContent() throws(ComputeError) -> FileContent {
    let result: Result<FileContent, ComputeError> = content.withLock { content in
      Result { () throws(ComputeError) in
        if let content { return content }
        let whole = try reading { () throws(ModelFileError) in
          keeping == .copied ? try file.copy(range) : try file.content(range)
        }
        content = whole
        return whole
      }
    }
    return try result.get()
  }

  private func reading<Value>(
    _ body: () throws(ModelFileError) -> Value
  ) throws(ComputeError) -> Value {
    do throws(ModelFileError) {
      return try body()
    } catch {
      throw error.kind == .outOfMemory
        ? .outOfMemory(byteCount: range.count)
        : .unreadable(path: error.path, fault: error.fault)
    }
  }
}

extension TensorArchive {
  /// A tensor's bytes as a network's weight.
  ///
  /// - Parameter index: its place in `tensors.records`.
  /// - Returns: the bytes, which are not read yet.
  func storage(of index: Int) -> any WeightStorage {
    let record = tensors.records[index]
    return StoredTensor(
      file(of: index), record.byteOffset..<record.byteOffset + record.byteCount)
  }
}
