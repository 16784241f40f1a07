/// Counts the bytes of the names that stay resident while a file is read.
///
/// Names are the only part of a file's structure that is copied; without a bound, a few hundred
/// megabytes of distinct names would all be held at once.
struct NameBudget {
  /// Maximum number of bytes of all names of one kind; no known checkpoint has a hundredth of it.
  static let maximumBytes = 16 << 20

  private let what: String
  private let file: MappedFile
  private var bytes = 0

  /// - Parameters:
  ///   - what: the kind of names, for messages.
  ///   - file: the file that they come from.
  init(_ what: String, of file: MappedFile) {
    self.what = what
    self.file = file
  }

  /// Adds a name.
  ///
  /// - Throws: `ModelFileError` once there are too many bytes.
  mutating func spend(_ name: String) throws(ModelFileError) {
    bytes += name.utf8.count
    guard bytes <= Self.maximumBytes else { throw file.malformed(Self.fault(what)) }
  }

  /// The message about too many bytes.
  static func fault(_ what: String) -> String {
    "has \(what) of more than \(maximumBytes) bytes in all, which is the limit for one file"
  }
}
