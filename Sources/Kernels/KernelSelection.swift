import Foundation
import KernelInterface
import KernelsPortable

#if arch(x86_64)
  import CIntrinsics
  import KernelsAVX2
  import KernelsAVX512
  import KernelsAVXVNNI
#endif

/// Picks the kernels for the CPU that the program runs on.
package enum KernelSelection {
  /// The environment variable that forces a set.
  package static let variable = "AURAFLOW_KERNELS"

  /// Names that `variable` takes.
  package static let names = ["portable", "avx2", "avxvnni", "avx512"]

  /// The sets that this CPU can run, the fastest last.
  package static let available: [KernelSet] = {
    var sets = [kernelSetPortable]
    #if arch(x86_64)
      if cpuSupportsAVX2() != 0 { sets.append(kernelSetAVX2) }
      if cpuSupportsAVXVNNI() != 0 {
        sets.append(kernelSetAVX2.replacing(integerProductsAVXVNNI))
      }
      if cpuSupportsAVX512VNNI() != 0 { sets.append(kernelSetAVX512) }
    #endif
    return sets
  }()

  /// The set in use: the one that `variable` names where the CPU can run it, else the fastest.
  package static let current: KernelSet = {
    let wanted = ProcessInfo.processInfo.environment[variable]
    return available.first { $0.name == wanted } ?? available.last ?? kernelSetPortable
  }()

  /// Why `variable` cannot be followed, as a line for the user; nil if it can or is not set.
  package static let complaint: String? = {
    guard let wanted = ProcessInfo.processInfo.environment[variable], !wanted.isEmpty else {
      return nil
    }
    if available.contains(where: { $0.name == wanted }) { return nil }
    return names.contains(wanted)
      ? "\(variable)=\(wanted): this CPU lacks the instructions; it can run "
        + available.map(\.name).joined(separator: ", ")
      : "\(variable)='\(wanted)': expected one of " + names.joined(separator: ", ")
  }()
}
