import ArgumentParser
import Foundation
import Images
import ModelFiles
import TextToImage

/// Going on after an interruption.
struct ResumeOptions: ParsableArguments {
  @Flag(
    name: .long,
    help: ArgumentHelp(
      "Go on where an interrupted run of the same command ended: finished pictures stay, unfinished "
        + "ones go on from the last step that was kept."))
  var resume = false

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Steps after which unfinished pictures are kept beside the first one (output.png.unfinished); "
        + "0 keeps none. (default: each half minute)", valueName: "count"))
  var keepEvery: Int?

  /// Seconds between two times that unfinished pictures are kept, unless steps are named.
  private static let seconds = 30.0

  mutating func validate() throws {
    if let keepEvery, !(0...10_000).contains(keepEvery) {
      throw ValidationError("--keep-every \(keepEvery) is outside of 0...10000")
    }
  }

  var pace: UnfinishedKeeper.Pace { keepEvery.map { .steps($0) } ?? .seconds(Self.seconds) }

  /// Checks that no unfinished pictures of an earlier run would be lost.
  ///
  /// - Parameters:
  ///   - path: where they would be; nil if nowhere.
  ///   - force: whether they may be.
  /// - Throws: `ModelFileError` if there are some.
  func checkUnfinished(at path: String?, force: Bool) throws(ModelFileError) {
    guard let path, !resume, !force, keepEvery != 0, FileSystem.exists(path) else { return }
    let fault =
      (try? UnfinishedArchive(path: path)) == nil
      ? "is in the way of unfinished pictures and holds none: move it, or replace it with --force"
      : "holds unfinished pictures of an earlier run: go on with --resume, or begin again with "
        + "--force"
    throw ModelFileError(path: path, kind: .unwritable, fault: fault)
  }
}

/// What is left to do of a run that was interrupted.
struct ResumedWork {
  /// Finished pictures that stay.
  private(set) var finishedCount = 0
  /// What was kept of pictures that go on, by the fingerprints of their metadata.
  private(set) var unfinished: [String: UnfinishedPicture] = [:]
  /// What is left of each job; nil if it is done.
  private(set) var requests: [GenerationRequest?] = []

  /// Compares what there is with what is asked for.
  ///
  /// - Parameters:
  ///   - jobs: all pictures.
  ///   - fingerprints: of the pictures' metadata, by job.
  ///   - path: where unfinished pictures may be.
  ///   - force: whether other pictures with the same names may be replaced.
  ///   - pipeline: the model.
  /// - Throws: `ModelFileError` for a file that is there and is something else; `GenerationError`
  ///   for a job that cannot be done.
  init(
    _ jobs: [PictureJob], _ fingerprints: [[String]], unfinishedAt path: String?, force: Bool,
    _ pipeline: Pipeline
  ) throws {
    let archive = try Self.archive(path, force: force)
    for (job, fingerprints) in zip(jobs, fingerprints) {
      let settings = try pipeline.settings(for: job.request)
      let latentCount = pipeline.latentShape(for: settings).dropFirst().reduce(1, *)
      var left: [Int] = []
      var request = job.request
      for (image, fingerprint) in fingerprints.enumerated() {
        if try Self.isFinished(job.names[image], fingerprint, force: force) {
          finishedCount += 1
          continue
        }
        left.append(image)
        guard let archive else { continue }
        do throws(ModelFileError) {
          request.unfinished[image] = try archive.picture(
            fingerprint, settings, latentCount: latentCount)
        } catch {
          guard force else { throw error }
        }
        unfinished[fingerprint] = request.unfinished[image]
      }
      request.images = left
      requests.append(left.isEmpty ? nil : request)
    }
    let all = Set(fingerprints.joined())
    guard force || archive?.fingerprints.isDisjoint(with: all) != true else {
      throw ModelFileError(
        path: path ?? "", kind: .unwritable,
        fault: "holds pictures of other prompts, settings or files than this command's: repeat the "
          + "command that was interrupted, or begin again with --force")
    }
  }

  private static func archive(
    _ path: String?, force: Bool
  ) throws(ModelFileError) -> UnfinishedArchive? {
    guard let path, FileSystem.exists(path) else { return nil }
    do throws(ModelFileError) {
      return try UnfinishedArchive(path: path)
    } catch {
      guard force else { throw error }
      return nil
    }
  }

  /// Whether a picture is there, whole, and the one that is going to be made.
  private static func isFinished(
    _ path: String, _ fingerprint: String, force: Bool
  ) throws(ModelFileError) -> Bool {
    guard !OutputOptions.isDevice(path), FileSystem.exists(path) else { return false }
    if RecordedPicture.fingerprint(of: path) == fingerprint {
      // One that is cut short is made again.
      return (try? PictureFile.read(path: path, nil)) != nil
    }
    guard force else {
      throw ModelFileError(
        path: path, kind: .unwritable,
        fault: "is another picture than this command makes: --force replaces it")
    }
    return false
  }

  /// A line about what is there; nil if nothing is.
  func note(of count: Int) -> String? {
    let finished = finishedCount > 0 ? ["\(finishedCount) of \(count) pictures are there"] : []
    let steps = Set(requests.compactMap { $0?.unfinished.values.map(\.step) }.joined())
    let step = steps.min().map { " after step \($0)" } ?? ""
    let going = unfinished.isEmpty ? [] : ["\(unfinished.count) go on\(step)"]
    let parts = finished + going
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }
}

extension RecordedPicture {
  /// The fingerprint of a picture's metadata; nil if it is none of this program's.
  static func fingerprint(of path: String) -> String? {
    guard let bytes = try? PictureFile.bytes(path: path),
      let text = PNGTexts.read(bytes)?["auraflow"]
    else { return nil }
    return XXHash64.name(of: text)
  }
}
