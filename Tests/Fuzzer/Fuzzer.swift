import Foundation
import Fuzzing

// The entry of libFuzzer, whose library brings the main function. tools/fuzz.sh builds and runs it.

/// What to call, from the environment: libFuzzer has all arguments for itself.
private let reader: FuzzedReader = {
  let name = ProcessInfo.processInfo.environment["AURAFLOW_FUZZED_READER"] ?? ""
  guard let reader = FuzzedReader(rawValue: name) else {
    let names = FuzzedReader.allCases.map(\.rawValue).joined(separator: ", ")
    FileHandle.standardError.write(Data("AURAFLOW_FUZZED_READER must be one of \(names)\n".utf8))
    exit(64)
  }
  return reader
}()

/// Reads one input; whatever must not happen ends the process.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  do throws(BrokenPromise) {
    _ = try reader.read(UnsafeRawBufferPointer(start: bytes, count: count))
  } catch {
    FileHandle.standardError.write(Data("broken promise: \(error)\n".utf8))
    abort()
  }
  return 0
}
