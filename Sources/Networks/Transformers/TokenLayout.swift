/// Which rows of the token matrix belong to which branch: the first branch's context and image,
/// then the next one's.
package struct TokenLayout: Sendable {
  /// Context tokens of each branch.
  package let contexts: [Int]
  /// Image tokens of every branch.
  package let imageTokens: Int

  package init(contexts: [Int], imageTokens: Int) {
    self.contexts = contexts
    self.imageTokens = imageTokens
  }

  package var rowCount: Int { contexts.reduce(0, +) + contexts.count * imageTokens }
  /// Tokens of the branch that has most.
  package var largestBranch: Int { (contexts.max() ?? 0) + imageTokens }

  package func contextRows(of branch: Int) -> Range<Int> {
    let start = contexts[..<branch].reduce(0, +) + branch * imageTokens
    return start..<start + contexts[branch]
  }

  package func imageRows(of branch: Int) -> Range<Int> {
    let start = contextRows(of: branch).upperBound
    return start..<start + imageTokens
  }

  package func rows(of branch: Int) -> Range<Int> {
    contextRows(of: branch).lowerBound..<imageRows(of: branch).upperBound
  }
}
