import Checkpoints
import Foundation
import Machine
import ModelFiles
import Quantization

/// How weights are converted, beside what they become.
package struct ConversionOptions: Sendable {
  package var quality = QuantizationQuality.fast
  /// How much each column of a tensor counts, by our name and number of columns; nil where nothing
  /// is known.
  package var importance:
    (@Sendable (_ name: String, _ columns: Int) throws(ModelFileError) -> [Float]?)?
  /// What enters a tensor, by our name and number of columns: where it is known, the tensor is
  /// rounded with error feedback, and importance does not count.
  package var inputs: (@Sendable (_ name: String, _ columns: Int) -> LinearInputs?)?
  /// Matrices that were rounded before.
  package var finished: FinishedTensors?
  /// Whether blocks are read back to tell their errors.
  package var measuresErrors = true
  /// Whether weights that are NaN, infinite or too large are kept as far as the type can.
  package var allowsNotFinite = false

  package init() {}

  /// Takes how much columns count from an importance matrix.
  package mutating func use(_ matrix: ImportanceMatrix) {
    importance = { name, columns throws(ModelFileError) in
      try matrix.importance(of: name, columns: columns)
    }
  }
}

/// Carries a plan out.
package enum Converter {
  /// Told of bytes of the input that are done, and of all.
  package typealias Progress = (_ doneBytes: Int, _ allBytes: Int) -> Void

  /// Writes the new file.
  ///
  /// - Parameters:
  ///   - plan: what each tensor becomes.
  ///   - path: the file; it appears, or changes, only when it is whole.
  ///   - overwrite: whether an existing file may be replaced.
  ///   - options: how to convert.
  ///   - pool: threads to work on; cancelling it ends the work and leaves nothing.
  ///   - progress: told about bytes.
  ///   - onRescue: told if the file had to have another name in the end; where it is nil, the file
  ///     is discarded then.
  /// - Returns: what became of each tensor, in file order.
  /// - Throws: `ModelFileError` if a file cannot be read or written, `ConversionError` for weights
  ///   that are not finite, `ComputeError` if cancelled.
  package static func write(
    _ plan: ConversionPlan, to path: String, overwrite: Bool, options: ConversionOptions,
    on pool: ThreadPool, progress: @escaping Progress, onRescue: ((RescuedFile) -> Void)? = nil
  ) throws -> [TensorOutcome] {
    for tensor in plan.tensors
    where !tensor.isCopied && !BlockQuantizer.types.contains(tensor.type) {
      throw ConversionError.unusable(
        "tensor '\(tensor.name)' can be \(tensor.type.name) only where it is copied as it is")
    }
    let total = plan.sourceByteCount
    var done = 0
    func onBytes(_ count: Int) {
      done += count
      progress(done, total)
    }
    guard plan.container == .folder else {
      return try write(
        plan.tensors[...], plan.files[0].layout, to: path, overwrite: overwrite, options, pool,
        onBytes, onRescue)
    }
    let folder = try AtomicFolder(path: path, byteCount: plan.byteCount) {
      () throws(ModelFileError) in
      try OwnFolder.mayReplace(path, overwrite, plan.catalog)
    }
    var outcomes: [TensorOutcome] = []
    var rest = plan.tensors[...]
    for file in plan.files {
      let place = try folder.file(file.name)
      do {
        outcomes += try write(
          rest.prefix(file.tensorCount), file.layout, to: place, overwrite: false, options, pool,
          onBytes, nil)
      } catch let error as ModelFileError where error.path == place {
        // Under the name that people know.
        throw ModelFileError(
          path: FileSystem.join(path, file.name), kind: error.kind, fault: error.fault)
      }
      rest = rest.dropFirst(file.tensorCount)
    }
    for (name, bytes) in plan.texts {
      try AtomicFile.write(bytes, to: try folder.file(name), overwrite: false)
    }
    if let rescued = try folder.commit() { onRescue?(rescued) }
    return outcomes
  }

  /// Writes one file of tensors.
  private static func write(
    _ tensors: ArraySlice<ConversionPlan.Tensor>, _ layout: TensorFileLayout, to path: String,
    overwrite: Bool, _ options: ConversionOptions, _ pool: ThreadPool,
    _ onBytes: @escaping (Int) -> Void, _ onRescue: ((RescuedFile) -> Void)?
  ) throws -> [TensorOutcome] {
    let writer = try TensorFileWriter(path: path, overwrite: overwrite, layout: layout)
    let output = WriteBehind(writer)
    do {
      let converter = TensorConverter(options, on: pool, to: output, onBytes: onBytes)
      var outcomes: [TensorOutcome] = []
      for index in tensors.indices {
        let next = index + 1 < tensors.endIndex ? tensors[index + 1].source : nil
        outcomes.append(try converter.convert(tensors[index], next: next))
      }
      try output.finish()
      try writer.flush()
      // The long wait for the disk does not notice a signal.
      try pool.run(1) { _, _ in }
      if let onRescue {
        if let rescued = try writer.finishAnywhere() { onRescue(rescued) }
      } else {
        try writer.finish()
      }
      return outcomes
    } catch {
      // Nothing may be written any more when the temporary file goes.
      try? output.finish()
      writer.discard()
      throw error
    }
  }
}
