/// Why a computation did not come to its end.
public enum ComputeError: Error, Equatable, CustomStringConvertible {
  /// Memory for activations could not be allocated.
  case outOfMemory(byteCount: Int)
  /// A weight's file was changed or cannot be read any more.
  case unreadable(path: String, fault: String)
  /// Someone asked it to stop.
  case cancelled

  /// A line for the user.
  public var description: String {
    switch self {
    case .outOfMemory(let byteCount):
      "cannot allocate \(byteCount >> 20) MiB for activations: choose a smaller picture or batch"
    case .unreadable(let path, let fault): "\(path): \(fault)"
    case .cancelled: "cancelled"
    }
  }
}
