import Foundation

/// Whether the tests run under a sanitizer (`tools/sanitize.sh`), which multiplies memory and time.
package enum Sanitizer {
  /// The trait `.disabled(if:)` of tests that measure one of the two takes this.
  package static let isActive =
    ProcessInfo.processInfo.environment["AURAFLOW_SANITIZER"]?.isEmpty == false
}
