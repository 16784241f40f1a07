import Machine
import ModelFiles

/// What stages of layers hand to each other, for all places and streams, in a file.
///
/// The tokens have two copies: those that came into a layer stay until all places have left it, so
/// that an interrupted layer can be run again.
final class LayerScratch: Sendable {
  private let file: ScratchFile
  /// Elements of each matrix, by place.
  private let sizes: [[Int]]
  /// Elements before each place.
  private let starts: [Int]
  /// Elements of a stream.
  private let streamSize: Int

  /// - Parameters:
  ///   - matrices: elements of each matrix, by place; the tokens first.
  ///   - streams: how many.
  ///   - makeFile: makes the file.
  /// - Throws: `ModelFileError`.
  init(
    matrices: [[Int]], streams: Int,
    makeFile: (_ byteCount: Int) throws(ModelFileError) -> ScratchFile
  ) throws(ModelFileError) {
    sizes = matrices
    var starts: [Int] = []
    var size = 0
    for place in matrices {
      starts.append(size)
      size += (place.first ?? 0) + place.reduce(0, +)
    }
    (self.starts, streamSize) = (starts, size)
    file = try makeFile(streams * size * MemoryLayout<Float>.stride)
  }

  /// Bytes of the largest matrix.
  var largestMatrixBytes: Int {
    (sizes.joined().max() ?? 0) * MemoryLayout<Float>.stride
  }
  /// Bytes of the file.
  var byteCount: Int { file.byteCount }

  /// Reads a matrix.
  ///
  /// - Parameters:
  ///   - index: of the place's matrices.
  ///   - place: its number.
  ///   - stream: its number.
  ///   - parity: even or odd: which copy of the tokens.
  /// - Returns: its elements.
  /// - Throws: `ComputeError`.
  func read(
    _ index: Int, of place: Int, _ stream: Int, parity: Int
  ) throws(ComputeError) -> [Float] {
    do throws(ModelFileError) {
      return try file.floats(
        sizes[place][index], at: offset(index, of: place, stream, parity: parity))
    } catch {
      throw .unreadable(path: error.path, fault: error.fault)
    }
  }

  /// Writes a matrix.
  func write(
    _ values: [Float], _ index: Int, of place: Int, _ stream: Int, parity: Int
  ) throws(ComputeError) {
    do throws(ModelFileError) {
      try file.write(values, at: offset(index, of: place, stream, parity: parity))
    } catch {
      throw .unreadable(path: error.path, fault: error.fault)
    }
  }

  private func offset(_ index: Int, of place: Int, _ stream: Int, parity: Int) -> Int {
    let sizes = sizes[place]
    let first = index == 0 ? parity % 2 * sizes[0] : sizes[0] + sizes.prefix(index).reduce(0, +)
    return MemoryLayout<Float>.stride * (stream * streamSize + starts[place] + first)
  }

  /// Waits until everything is on the disk.
  func synchronize() throws(ModelFileError) { try file.synchronize() }
}
