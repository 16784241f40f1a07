/// The value that occurs most often; of equally frequent ones the first.
///
/// Sizes are read off many tensors, so that a single tensor of the wrong shape does not decide
/// what all others should look like, but is named itself.
package func mostCommon(_ candidates: [Int?]) -> Int? {
  var counts: [Int: Int] = [:]
  for case let candidate? in candidates { counts[candidate, default: 0] += 1 }
  guard let highest = counts.values.max() else { return nil }
  return candidates.lazy.compactMap { $0 }.first { counts[$0] == highest }
}
