import Compute

/// Why a picture could not be made.
public enum GenerationError: Error, CustomStringConvertible {
  /// The request asks for something impossible.
  case invalidRequest(String)
  /// The latents became infinite or undefined in a step (counted from 1).
  case notFinite(step: Int, of: Int)
  /// The picture decoded from finite latents holds undefined values.
  case notFiniteImage
  /// The latents of a picture hold undefined values.
  case notFiniteEncoding
  /// The memory that may be used is too little; the text says what would fit.
  case overBudget(String)
  /// Memory for activations could not be allocated.
  case outOfMemory(byteCount: Int)
  /// A model file was changed during the run or cannot be read any more.
  case unreadable(path: String, fault: String)
  /// As many generations wait for their turn as may.
  case busy(waiting: Int)
  /// The caller's task was cancelled.
  case cancelled

  /// One line for the user.
  public var description: String {
    switch self {
    case .invalidRequest(let fault): fault
    case .notFinite(let step, let count):
      "step \(step) of \(count): the latents hold NaN or infinite values; the weights are damaged "
        + "or their type cannot hold them"
    case .notFiniteImage:
      "the decoded picture holds NaN values; the VAE's weights are damaged or of too small a range"
    case .notFiniteEncoding:
      "the encoded picture holds NaN values; the VAE's weights are damaged or of too small a range"
    case .overBudget(let advice): advice
    case .outOfMemory(let byteCount):
      ComputeError.outOfMemory(byteCount: byteCount).description
    case .unreadable(let path, let fault): "\(path): \(fault)"
    case .busy(let waiting):
      "\(waiting) pictures wait for their turn already: try again when some are done"
    case .cancelled: "cancelled"
    }
  }

  /// The same about one of several requests.
  package func about(_ name: String) -> GenerationError {
    switch self {
    case .invalidRequest(let fault): .invalidRequest("\(name): \(fault)")
    case .overBudget(let advice): .overBudget("\(name): \(advice)")
    default: self
    }
  }

  package init(_ error: ComputeError) {
    switch error {
    case .outOfMemory(let byteCount): self = .outOfMemory(byteCount: byteCount)
    case .unreadable(let path, let fault): self = .unreadable(path: path, fault: fault)
    case .cancelled: self = .cancelled
    }
  }
}

/// Translates errors of computing.
func computing<Value>(
  _ body: () throws(ComputeError) -> Value
) throws(GenerationError) -> Value {
  do throws(ComputeError) {
    return try body()
  } catch {
    throw GenerationError(error)
  }
}
