/// A model file that cannot be used, and why, as one line for its reader.
public struct ModelFileError: Error, Equatable, CustomStringConvertible {
  /// What went wrong, by what a user has to do next.
  public enum Kind: Sendable {
    /// The path names nothing that can be opened.
    case notFound
    /// The bytes break the file format, or the file is cut short.
    case malformed
    /// Well-formed, but of a kind that this program cannot use.
    case unsupported
    /// The operating system failed to read or map the file.
    case unreadable
    /// Memory or address space for the file's content could not be allocated.
    case outOfMemory
    /// The file cannot be created or opened for writing.
    case unwritable
    /// The operating system failed to write the content.
    case unwritten
    /// The caller said something about the file that cannot be so.
    case contradicted
  }

  /// The file, as it was named by the caller.
  public let path: String
  /// The class of the fault.
  public let kind: Kind
  /// The fault: what, where, expected and found.
  public let fault: String

  /// Describes a fault of a file.
  public init(path: String, kind: Kind, fault: String) {
    self.path = path
    self.kind = kind
    self.fault = fault
  }

  /// `path: fault`.
  public var description: String { "\(path): \(fault)" }
}
