import Foundation
import ModelFiles
import StrictJSON

/// Text for a person: results go to stdout, everything else to stderr.
struct Console: Sendable {
  let isQuiet: Bool
  let isVerbose: Bool
  /// Whether stderr shows a live progress line.
  let showsProgress: Bool

  init(isQuiet: Bool, isVerbose: Bool = false) {
    self.isQuiet = isQuiet
    self.isVerbose = isVerbose
    showsProgress = !isQuiet && Terminal.error.style == .liveLine
  }

  init(_ options: CommonOptions) {
    self.init(isQuiet: options.quiet, isVerbose: options.verbose)
  }

  /// Says something that the user should notice.
  func note(_ text: @autoclosure () -> String) {
    if !isQuiet { LiveLine.shared.printAbove("note: \(text().withoutControlCharacters)\n") }
  }

  /// Says what the user must know, also where nothing but errors is wanted.
  func warn(_ text: String) {
    LiveLine.shared.printAbove("warning: \(text.withoutControlCharacters)\n")
  }

  /// Says what is being done.
  func detail(_ text: @autoclosure () -> String) {
    if isVerbose { LiveLine.shared.printAbove("\(text().withoutControlCharacters)\n") }
  }

  /// Says how far the work is where nobody sees a progress line.
  func line(_ text: @autoclosure () -> String) {
    if !isQuiet { LiveLine.shared.printAbove(text() + "\n") }
  }

  /// Replaces the progress line.
  func progress(_ text: @autoclosure () -> String) {
    if showsProgress { LiveLine.shared.show(text()) }
  }

  /// Removes the progress line.
  func endProgress() {
    if showsProgress { LiveLine.shared.erase() }
  }

  /// Prints a part of the result; on stderr where a file of the result itself goes to stdout.
  func result(_ text: String, beside files: OutputOptions.Files) {
    guard !isQuiet else { return }
    if files.all.contains(where: StandardStreams.isOutput) {
      Self.writeError(text + "\n")
    } else {
      Self.writeOutput(text + "\n")
    }
  }

  /// Writes to stderr as it is.
  static func writeError(_ text: String) { _ = write(text, to: STDERR_FILENO) }

  /// Writes to stdout as it is; a result that cannot be delivered ends the program.
  static func writeOutput(_ text: String) {
    guard !write(text, to: STDOUT_FILENO) else { return }
    let reason = String(cString: strerror(errno))
    ErrorReport.tell("cannot write to standard output: \(reason)", ExitStatus.inputOutput)
    _exit(ExitStatus.inputOutput)
  }

  private static func write(_ text: String, to descriptor: Int32) -> Bool {
    var text = text
    return text.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while let base = rest.baseAddress, !rest.isEmpty {
        let count = Foundation.write(descriptor, base, rest.count)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return false }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      }
      return true
    }
  }
}

extension String {
  /// The text on one line, safe to show: control and direction characters are written as escapes.
  ///
  /// Names in model files are chosen by strangers; a terminal must not obey them. Bytes of a path
  /// that are not UTF-8 are written as `\xE9`.
  var withoutControlCharacters: String {
    if utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return self }
    var result: [UInt8] = []
    result.reserveCapacity(utf8.count)
    for scalar in FilePaths.shown(self).unicodeScalars {
      if scalar.isInvisible {
        result.append(contentsOf: "\\u{".utf8)
        var shift = 28
        while shift > 0, scalar.value >> shift == 0 { shift -= 4 }
        for shift in stride(from: shift, through: 0, by: -4) {
          let digit = UInt8(truncatingIfNeeded: scalar.value >> shift & 0xF)
          result.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
        result.append(UInt8(ascii: "}"))
      } else {
        result.append(contentsOf: UTF8.encode(scalar) ?? .init())
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}

extension String {
  /// The text with control characters written as escapes, lines kept.
  var withoutControlCharactersInLines: String {
    split(separator: "\n", omittingEmptySubsequences: false)
      .map { String($0).withoutControlCharacters }.joined(separator: "\n")
  }
}

/// Collects text for stdout, so that long listings do not cost a system call for every line.
struct BufferedOutput {
  private static let capacity = 1 << 16
  private var text = ""

  /// Adds text; writes what was collected when it is much.
  mutating func write(_ text: String) {
    self.text += text
    if self.text.utf8.count >= Self.capacity { flush() }
  }

  /// Writes what was collected.
  mutating func flush() {
    if !text.isEmpty { Console.writeOutput(text) }
    text = ""
  }
}

/// Seconds as `m:ss`.
func formattedDuration(_ seconds: Double) -> String {
  guard seconds.isFinite, seconds < 1e7 else { return "-" }
  let total = Int(seconds.rounded())
  return total >= 3600
    ? String(format: "%d:%02d:%02d", total / 3600, total / 60 % 60, total % 60)
    : String(format: "%d:%02d", total / 60, total % 60)
}
