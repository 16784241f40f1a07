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
    guard let path, !resume, !force, FileSystem.exists(path) else { return }
    throw ModelFileError(
      path: path, kind: .unwritable,
      fault:
        "holds unfinished pictures of an earlier run: go on with --resume, or begin again with "
        + "--force")
  }
}

/// What is left to do of a run that was interrupted.
struct ResumedWork {
  /// Finished pictures that stay.
  private(set) var finishedCount = 0
  /// Pictures that go on from a step.
  private(set) var unfinishedCount = 0
  /// What is left of each job; nil if it is done.
  private(set) var requests: [GenerationRequest?] = []

  /// Compares what there is with what is asked for.
  ///
  /// - Parameters:
  ///   - jobs: all pictures.
  ///   - fingerprints: of the pictures' metadata, by job.
  ///   - path: where unfinished pictures may be.
  ///   - force: whether other pictures with the same names may be replaced.
  /// - Throws: `ModelFileError` for a file that is there and is something else.
  init(
    _ jobs: [PictureJob], _ fingerprints: [[String]], unfinishedAt path: String?, force: Bool
  ) throws(ModelFileError) {
    var unfinished: [String: UnfinishedPicture] = [:]
    if let path, FileSystem.exists(path) { unfinished = try UnfinishedFile(path: path).pictures }
    for (job, fingerprints) in zip(jobs, fingerprints) {
      var left: [Int] = []
      var request = job.request
      for (image, fingerprint) in fingerprints.enumerated() {
        let name = job.names[image]
        if FileSystem.exists(name) {
          if RecordedPicture.fingerprint(of: name) == fingerprint {
            finishedCount += 1
            continue
          }
          guard force else {
            throw ModelFileError(
              path: name, kind: .unwritable,
              fault: "is another picture than this command makes: --force replaces it")
          }
        }
        left.append(image)
        if let picture = unfinished[fingerprint] {
          request.unfinished[image] = picture
          unfinishedCount += 1
        }
      }
      request.images = left
      requests.append(left.isEmpty ? nil : request)
    }
    guard unfinishedCount > 0 || unfinished.isEmpty || requests.allSatisfy({ $0 == nil }) || force
    else {
      throw ModelFileError(
        path: path ?? "", kind: .unwritable,
        fault: "holds pictures of other prompts, settings or files than this command's: repeat the "
          + "command that was interrupted, or begin again with --force")
    }
  }

  /// A line about what is there; nil if nothing is.
  func note(of count: Int) -> String? {
    let finished = finishedCount > 0 ? ["\(finishedCount) of \(count) pictures are there"] : []
    let steps = Set(requests.compactMap { $0?.unfinished.values.map(\.step) }.joined())
    let step = steps.min().map { " after step \($0)" } ?? ""
    let going = unfinishedCount > 0 ? ["\(unfinishedCount) go on\(step)"] : []
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
