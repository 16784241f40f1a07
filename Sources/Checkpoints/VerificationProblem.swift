import ModelFiles

/// Something that is wrong with a model, or strange.
package struct VerificationProblem: Sendable {
  /// What it means for a run.
  package enum Severity: String, Sendable {
    /// The model is damaged or unfit.
    case error
    /// It works, but somebody should know.
    case warning
  }

  package let severity: Severity
  /// The file.
  package let path: String
  /// The tensor, where it is about one.
  package let tensor: String?
  /// What was expected and found, and what to do.
  package let fault: String
  /// The class of the fault.
  package let kind: ModelFileError.Kind

  /// A problem with one tensor.
  init(
    _ severity: Severity, path: String, tensor: String?, kind: ModelFileError.Kind = .malformed,
    _ fault: String
  ) {
    self.severity = severity
    self.path = path
    self.tensor = tensor
    self.kind = kind
    self.fault = fault
  }

  /// What a reader found wrong.
  package init(_ error: ModelFileError) {
    self.init(.error, path: error.path, tensor: nil, kind: error.kind, error.fault)
  }

  /// `path: fault`, in which a tensor is named.
  package var description: String {
    tensor.map { "\(path): tensor '\($0)' \(fault)" } ?? "\(path): \(fault)"
  }
}

extension ModelInspection {
  /// Parts that a pipeline's folder should have and has not. Other paths may hold single parts.
  package var missingParts: [VerificationProblem] {
    guard isPipelineFolder, faults.isEmpty else { return [] }
    return missing.map { part in
      VerificationProblem(
        .error, path: path, tensor: nil, kind: .notFound,
        "has no \(part), which every \(family.name) pipeline has: download it too")
    }
  }

  /// What stands in the way of the path as a whole: files that cannot be used, several for one
  /// part, or a file of something else.
  package var obstacles: [VerificationProblem] {
    // A broken file beside a whole model is in nobody's way.
    let isWhole = missing.isEmpty
    let unused = Set(faults.map(\.path)).subtracting(parts.map(\.path))
    var problems = faults.map { fault in
      VerificationProblem(
        isWhole && unused.contains(fault.path) ? .warning : .error, path: fault.path, tensor: nil,
        kind: fault.kind, fault.fault)
    }
    problems += ambiguities.map {
      VerificationProblem(.error, path: path, tensor: nil, kind: .contradicted, $0)
    }
    if let kind {
      problems.append(
        VerificationProblem(.error, path: path, tensor: nil, kind: .unsupported, "is \(kind)"))
    } else if contents.allSatisfy({ $0.archive.tensors.records.isEmpty }),
      tokenizers.allSatisfy({ $0.path == nil })
    {
      problems.append(
        VerificationProblem(.error, path: path, tensor: nil, "holds no tensor of any model"))
    } else if parts.isEmpty, problems.isEmpty, tokenizers.allSatisfy({ $0.path == nil }) {
      problems.append(
        VerificationProblem(
          .error, path: path, tensor: nil, kind: .unsupported,
          "holds no part of a model that is run here, as far as the names of its tensors tell"))
    }
    return problems
  }

  /// Tensors of no use, and bytes that belong to nothing.
  package var strangers: [VerificationProblem] {
    // Files without a part are not opened by generate.
    contents.filter { !$0.places.isEmpty }.flatMap { content in
      content.foreign.map { index in
        let record = content.archive.tensors.records[index]
        return VerificationProblem(
          .warning, path: content.archive.file(of: index).path, tensor: record.name,
          "of shape \(record.shape) belongs to no part of \(family.modelPhrase): generate needs "
            + "--allow-extra-tensors")
      }
        + content.notes.map { note in
          VerificationProblem(
            .warning, path: content.archive.path, tensor: nil,
            String(note.dropFirst(content.archive.path.count + 2)))
        } + Self.trailingBytes(of: content.archive)
    }
  }

  private static func trailingBytes(of archive: TensorArchive) -> [VerificationProblem] {
    // Safetensors files are refused for them.
    guard let gguf = archive.gguf else { return [] }
    let ends = archive.contentEnds
    return archive.files.compactMap { file in
      guard let end = ends[file.path] else { return nil }
      let rest = file.size - end
      // The last tensor may be padded like the others.
      guard rest >= gguf.alignment else { return nil }
      return VerificationProblem(
        .warning, path: file.path, tensor: nil,
        "\(decimalSize(UInt64(rest))) after the last tensor are not part of any")
    }
  }
}

extension PartSource {
  /// Opens the part with `body` and gathers every tensor that is missing, unfit or superfluous.
  ///
  /// - Parameter body: asks for all tensors, as a run would; what it makes is not used.
  /// - Returns: all problems.
  package func problems(
    _ body: (PartSource) throws(ModelFileError) -> Void
  ) -> [VerificationProblem] {
    weights.collectFaults()
    var thrown: [ModelFileError] = []
    do throws(ModelFileError) {
      try body(self)
    } catch {
      thrown = [error]
    }
    let extra = weights.superfluous.map { record in
      VerificationProblem(
        .warning, path: weights.path, tensor: record.name,
        "of shape \(record.shape) is not in the \(slot.name) that the other tensors "
          + "describe: generate refuses it")
    }
    return (weights.faults + thrown).map { VerificationProblem($0) } + extra
  }
}
