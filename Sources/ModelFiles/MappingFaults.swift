import Foundation
import Synchronization

/// Faults in mapped files: pages that are gone because the file was cut short, or that the device
/// cannot give. The kernel tells a process by a signal, SIGBUS, in the middle of any instruction.
public enum MappingFaults {
  /// One mapped range. A slot with an end of 0 is free.
  private struct Slot: ~Copyable {
    let start = Atomic<UInt>(0)
    let end = Atomic<UInt>(0)
    /// What to say, a C string that is never freed while its slot is in use.
    let line = Atomic<UInt>(0)
  }

  private static let slotCount = 2048
  /// Never moved and never freed: the handler may look at any time.
  nonisolated(unsafe) private static let slots: UnsafeMutablePointer<Slot> = {
    let slots = UnsafeMutablePointer<Slot>.allocate(capacity: slotCount)
    for index in 0..<slotCount { (slots + index).initialize(to: Slot()) }
    return slots
  }()
  /// Guards the slots; makes the line for a path.
  private static let lock = Mutex<@Sendable (_ path: String, _ fault: String) -> String> {
    "error: \($0): \($1)"
  }
  private static let exitCode = Atomic<Int32>(74)
  /// Whether a thread is at its last words. Several may meet the same fault.
  private static let isEnding = Atomic(false)

  /// Ends the process with one line and an exit code when a mapped model file faults, instead of a
  /// raw signal. For programs; a library's user may have plans of their own.
  ///
  /// - Parameters:
  ///   - code: the exit code.
  ///   - line: what to print for a file and its fault; made when the file is mapped.
  public static func endProcess(
    exitCode code: Int32, line: (@Sendable (_ path: String, _ fault: String) -> String)? = nil
  ) {
    // Statics are initialized at their first use, which must not be in the handler.
    _ = slots
    if let line { lock.withLock { $0 = line } }
    exitCode.store(code, ordering: .sequentiallyConsistent)
    isEnding.store(false, ordering: .sequentiallyConsistent)
    var action = sigaction()
    action.__sigaction_handler.sa_sigaction = { _, info, _ in MappingFaults.handle(info) }
    action.sa_flags = SA_SIGINFO
    sigaction(SIGBUS, &action, nil)
  }

  /// Remembers a mapping. More of them than there are slots go unwatched.
  static func watch(_ bytes: UnsafeRawBufferPointer, path: String) {
    guard let base = bytes.baseAddress else { return }
    lock.withLock { makeLine in
      let fault = "was cut short while in use, or its device cannot be read any more"
      guard let line = strdup("\n\(makeLine(path, fault))\n") else { return }
      for index in 0..<slotCount where slots[index].end.load(ordering: .relaxed) == 0 {
        slots[index].start.store(UInt(bitPattern: base), ordering: .relaxed)
        slots[index].line.store(UInt(bitPattern: line), ordering: .relaxed)
        slots[index].end.store(UInt(bitPattern: base) + UInt(bytes.count), ordering: .releasing)
        return
      }
      free(line)
    }
  }

  /// Forgets a mapping that is about to end.
  static func forget(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    lock.withLock { _ in
      for index in 0..<slotCount
      where slots[index].start.load(ordering: .relaxed) == UInt(bitPattern: base)
        && slots[index].end.load(ordering: .relaxed) != 0
      {
        slots[index].end.store(0, ordering: .releasing)
        free(UnsafeMutableRawPointer(bitPattern: slots[index].line.load(ordering: .relaxed)))
        return
      }
    }
  }

  /// The handler. Calls only what POSIX allows in one.
  private static func handle(_ info: UnsafeMutablePointer<siginfo_t>?) {
    let address = UInt(bitPattern: info?.pointee._sifields._sigfault.si_addr)
    for index in 0..<slotCount {
      let end = slots[index].end.load(ordering: .acquiring)
      guard end != 0, address >= slots[index].start.load(ordering: .relaxed), address < end,
        let line = UnsafePointer<CChar>(
          bitPattern: slots[index].line.load(ordering: .relaxed))
      else { continue }
      if isEnding.exchange(true, ordering: .sequentiallyConsistent) {
        while true { pause() }
      }
      _ = write(STDERR_FILENO, line, strlen(line))
      _exit(exitCode.load(ordering: .relaxed))
    }
    // Not ours: it ends the process as it would have without a handler, at the second try or, if
    // it was sent by someone, at once.
    signal(SIGBUS, SIG_DFL)
    if let info, info.pointee.si_code <= 0 { raise(SIGBUS) }
  }
}
