/// Why a conversion cannot be done as it was asked for.
package enum ConversionError: Error, Equatable, CustomStringConvertible {
  /// The request cannot be met.
  case unusable(String)
  /// A weight is NaN or infinite, or would become so.
  case notFinite(path: String, fault: String)

  /// A line for the user.
  package var description: String {
    switch self {
    case .unusable(let fault): fault
    case .notFinite(let path, let fault): "\(path): \(fault)"
    }
  }
}
