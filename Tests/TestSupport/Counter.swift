import Synchronization

/// A number that closures on several threads may set.
package final class Counter: Sendable {
  private let number = Mutex(0)

  package init() {}

  package var value: Int {
    get { number.withLock { $0 } }
    set { number.withLock { $0 = newValue } }
  }
}
