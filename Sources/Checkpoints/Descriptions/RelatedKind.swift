import ModelFiles

/// A kind of file that is easily taken for a family's model, has most of its tensors, and is not
/// run.
package struct RelatedKind: Sendable {
  /// What shows a kind; a family's own models have none of it.
  package enum Mark: Sendable {
    /// Texts of which each occurs in some tensor's name.
    case names([String])
    /// The class that `model_index.json` names.
    case pipelineClass(String)
    /// A text in the name of the file or in one that the file gives itself, in small letters.
    case title(String)
    /// A linear layer of the denoiser, by our name, with so many times as many inputs as another
    /// one has outputs: it reads more than latents.
    case inputs(of: String, times: Int, outputsOf: String)
  }

  /// What it is, with its article if it has one.
  package let description: String
  /// What can be done with it; nil for models of a family that is not run.
  package let advice: String?
  /// Each is enough by itself.
  package let marks: [Mark]

  /// Describes a kind; what the parameters mean is said at the properties.
  package init(_ description: String, advice: String?, _ marks: Mark...) {
    self.description = description
    self.advice = advice
    self.marks = marks
  }
}

extension RelatedKind {
  /// Whether the names of an archive's tensors show it.
  func isShown(by names: TensorNameText) -> Bool {
    marks.contains { mark in
      if case .names(let texts) = mark { texts.allSatisfy(names.contain) } else { false }
    }
  }

  /// Whether one of an archive's titles shows it.
  func isShown(byTitles titles: [String]) -> Bool {
    marks.contains { mark in
      if case .title(let text) = mark { titles.contains { $0.contains(text) } } else { false }
    }
  }

  /// Whether the shapes of a denoiser show it.
  ///
  /// - Parameter shape: the shape of a stored tensor by our name; nil if there is none.
  /// - Returns: the answer.
  func isShown(byShapes shape: (String) -> [Int]?) -> Bool {
    marks.contains { mark in
      // Biases cannot be folded: a damaged matrix makes no other kind.
      guard case .inputs(let layer, let times, let other) = mark,
        let matrix = shape("\(layer).weight"), matrix.count == 2,
        shape("\(layer).bias")?.first == matrix[0],
        let outputs = shape("\(other).bias")?.first
      else { return false }
      let product = outputs.multipliedReportingOverflow(by: times)
      return !product.overflow && matrix[1] == product.partialValue
    }
  }

  /// Whether a pipeline's index shows it.
  func isShown(byPipelineClass name: String) -> Bool {
    marks.contains { mark in
      if case .pipelineClass(name) = mark { true } else { false }
    }
  }
}

extension TensorArchive {
  /// What the archive is called: its file's name, and what metadata call it, where GGUF files have
  /// `general.` keys and safetensors files those of Stability AI's model specification.
  fileprivate var titles: [String] {
    let stated = ["general.name", "general.basename"].compactMap {
      gguf?.value(for: $0)?.textPrefix(256)
    }
    let specified = ["modelspec.title", "modelspec.architecture"].flatMap(metadataTexts)
    return [FileSystem.name(of: path)] + stated + specified
  }
}

extension FamilyCatalog {
  /// What an archive is that has the tensors of a family's denoiser, if it is not a model of that
  /// family.
  ///
  /// - Parameters:
  ///   - archive: an opened checkpoint.
  ///   - denoiser: where the denoiser was found in it.
  ///   - family: the denoiser's family.
  /// - Returns: the kind; nil for the family's own models.
  func relative(
    in archive: TensorArchive, at denoiser: PartLocation, of family: FamilyDescription
  ) -> RelatedKind? {
    guard !family.relatives.isEmpty else { return nil }
    let text = TensorNameText(archive)
    let names = TensorNames(archive, at: denoiser, matcher)
    let titles = archive.titles.map { $0.lowercased() }
    func shape(_ name: String) -> [Int]? {
      names.entries[name].map { archive.tensors.records[$0.first].shape }
    }
    return family.relatives.first { kind in
      kind.isShown(by: text) || kind.isShown(byTitles: titles) || kind.isShown(byShapes: shape)
    }
  }

  /// What a pipeline's folder is by the class that its index names; nil for others.
  func relative(
    ofPipelineClass name: String
  ) -> (kind: RelatedKind, family: FamilyDescription)? {
    families.lazy.compactMap { family in
      family.relatives.first { $0.isShown(byPipelineClass: name) }.map { ($0, family) }
    }.first
  }

  /// What can be done with a related kind.
  func advice(about kind: RelatedKind) -> String { kind.advice ?? otherFamilyAdvice }

  /// What can be done with models of families that are not run.
  var otherFamilyAdvice: String {
    "models of this family cannot be run by this version, only "
      + families.map { "\($0.name)'s" }.joined(separator: " and ") + " can"
  }
}
