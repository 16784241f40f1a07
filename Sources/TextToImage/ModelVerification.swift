import Checkpoints
import Compute
import Machine
import ModelCatalog
import ModelFiles

/// A full check of a model: structure and sizes, every number, names and shapes against the
/// architecture, and the hashes that files hold of their tensors.
package struct ModelVerification: Sendable {
  /// The path that was checked.
  package let path: String
  /// Everything that was found, errors first.
  package let problems: [VerificationProblem]
  /// Parts whose tensors were compared with what their network asks for.
  package let parts: [Slot]
  /// What parts would be of, where none was recognized.
  package let modelPhrase: String
  /// What a run would need beside this path.
  package let missing: [String]
  /// Files with tensors.
  package let fileCount: Int
  /// Tensors that were read.
  package let tensorCount: Int
  /// Tensors that were compared with a stored hash.
  package let hashCount: Int
  /// Bytes of all tensors.
  package let byteCount: Int
  /// Seconds that reading them took.
  package let readSeconds: Double

  /// Problems that make the model unfit.
  package var errors: [VerificationProblem] { problems.filter { $0.severity == .error } }

  /// Checks everything at a path.
  ///
  /// - Parameters:
  ///   - path: a file, an index or a folder.
  ///   - hints: facts that neither tensors nor files tell.
  ///   - pool: threads to work on; cancelling it ends the work.
  ///   - progress: told about bytes, on any thread.
  /// - Throws: `ComputeError` if the pool is cancelled.
  package init(
    path: String, hints: ArchitectureHints = ArchitectureHints(), on pool: ThreadPool,
    progress: @escaping @Sendable (_ readBytes: Int, _ allBytes: Int) -> Void = { _, _ in }
  ) throws(ComputeError) {
    self.path = path
    modelPhrase = FamilyCatalog.known.modelPhrase
    let inspection: ModelInspection
    do throws(ModelFileError) {
      inspection = try ModelInspection(path: path, in: .known)
    } catch {
      // Nothing can be said about what cannot be opened.
      problems = [VerificationProblem(error)]
      (parts, missing) = ([], [])
      (fileCount, tensorCount, hashCount, byteCount, readSeconds) = (0, 0, 0, 0, 0)
      return
    }
    let contents = ContentVerification(inspection)
    let byteCount = contents.byteCount
    var problems = Self.architectureProblems(inspection, hints)
    let start = ContinuousClock.now
    problems += try contents.run(on: pool) { progress($0, byteCount) }
    readSeconds = (ContinuousClock.now - start) / .seconds(1)
    problems += inspection.strangers
    self.problems =
      problems.filter { $0.severity == .error } + problems.filter { $0.severity == .warning }
    parts = inspection.parts.map(\.part)
    missing = inspection.missing
    fileCount = inspection.contents.reduce(0) { $0 + $1.archive.files.count }
    tensorCount = contents.tensorCount
    hashCount = contents.hashCount
    self.byteCount = byteCount
  }

  /// What generate would refuse.
  private static func architectureProblems(
    _ inspection: ModelInspection, _ hints: ArchitectureHints
  ) -> [VerificationProblem] {
    var problems = inspection.obstacles + inspection.missingParts
    let unfit = Set(inspection.faults.map(\.path))
    for found in inspection.parts where !unfit.contains(found.path) {
      do throws(ModelFileError) {
        let source = try PartSource(
          found.part, of: found.family, path: found.path, hints: hints, in: .known)
        problems += source.problems { source throws(ModelFileError) in
          _ = try source.network.open(source)
          try source.network.checkIdleParts(source)
        }
      } catch {
        problems.append(VerificationProblem(error))
      }
    }
    guard problems.isEmpty, inspection.missing.isEmpty, inspection.ambiguities.isEmpty
    else {
      return problems
    }
    // Do the parts belong together, with tokenizer and defaults?
    do throws(ModelFileError) {
      var hints = hints
      hints.allowsExtraTensors = true
      _ = try Pipeline(ModelPaths(model: inspection.path), hints: hints)
    } catch {
      problems.append(VerificationProblem(error))
    }
    return problems
  }
}
