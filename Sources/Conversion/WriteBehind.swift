import Foundation
import ModelFiles
import Synchronization

/// Writes contents on a thread of its own, in order, while the next ones are made.
final class WriteBehind: @unchecked Sendable {
  /// One is being filled, one written, and one evens out the difference in pace.
  private static let bufferCount = 3

  private let writer: TensorFileWriter
  private let queue = DispatchQueue(label: "auraflow.write", qos: .userInitiated)
  private let free = DispatchSemaphore(value: bufferCount)
  private let fault = Mutex<ModelFileError?>(nil)
  private var buffers: [UnsafeMutableRawBufferPointer] = []
  private var next = 0

  /// - Parameter writer: where contents go; nobody else may use it before `finish`.
  init(_ writer: TensorFileWriter) { self.writer = writer }

  deinit { for buffer in buffers { buffer.deallocate() } }

  /// Memory to fill, waiting until there is some. Each must be given to `write`.
  ///
  /// - Parameter byteCount: at least so much.
  /// - Returns: the memory, with undefined content.
  /// - Throws: `ModelFileError` if writing has failed meanwhile.
  func buffer(_ byteCount: Int) throws(ModelFileError) -> UnsafeMutableRawBufferPointer {
    free.wait()
    if let fault = fault.withLock({ $0 }) {
      free.signal()
      throw fault
    }
    if buffers.count < Self.bufferCount {
      buffers.append(.allocate(byteCount: byteCount, alignment: 64))
    }
    let index = next % Self.bufferCount
    // The writer is done with the oldest: it goes through them in order.
    if buffers[index].count < byteCount {
      buffers[index].deallocate()
      buffers[index] = .allocate(byteCount: byteCount, alignment: 64)
    }
    next += 1
    return buffers[index]
  }

  /// Writes the beginning of the buffer that was handed out last.
  func write(_ buffer: UnsafeMutableRawBufferPointer, count: Int) {
    nonisolated(unsafe) let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
    queue.async {
      defer { self.free.signal() }
      guard self.fault.withLock({ $0 == nil }) else { return }
      do throws(ModelFileError) {
        try self.writer.write(bytes)
      } catch {
        self.fault.withLock { $0 = error }
      }
    }
  }

  /// Gives back a buffer that was not filled.
  func abandon() { free.signal() }

  /// Waits until everything is written.
  ///
  /// - Throws: `ModelFileError` if writing failed.
  func finish() throws(ModelFileError) {
    queue.sync {}
    if let fault = fault.withLock({ $0 }) { throw fault }
  }
}
