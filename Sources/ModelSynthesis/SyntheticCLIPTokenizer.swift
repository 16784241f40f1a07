import StrictJSON
import Tokenizers

/// A synthetic tokenizer of CLIP's kind: bytes, bytes that end words, syllables and words of
/// syllables, and the two special tokens as the last ids.
package struct SyntheticCLIPTokenizer: Sendable {
  /// Ids of bytes, of bytes that end words, and of what begins and ends every text.
  private static let otherIDs = 256 + 256 + 2

  /// Merges by rank.
  private let pairs: [(left: String, right: String)]

  /// - Parameter idCount: ids to make, as many as the embedding has rows; at least the 514 that are
  ///   not words are made.
  package init(idCount: Int) {
    let (end, count) = ("</w>", idCount - Self.otherIDs)
    var pairs: [(left: String, right: String)] = []
    func merge(_ left: String, _ right: String) {
      if pairs.count < count { pairs.append((left, right)) }
    }
    let syllables = SyntheticWords.syllables
    for ending in ["", end] {
      for syllable in syllables {
        merge(String(syllable.prefix(1)), String(syllable.suffix(1)) + ending)
      }
    }
    for ending in [end, ""] {
      for first in syllables { for second in syllables { merge(first, second + ending) } }
    }
    // Words of three syllables, until there are enough.
    for first in syllables where pairs.count < count {
      for second in syllables {
        for third in syllables.prefix(8) { merge(first + second, third + end) }
      }
    }
    self.pairs = pairs
  }

  /// The content of merges.txt.
  package var merges: String {
    (["#version: 0.2"] + pairs.map { "\($0.left) \($0.right)" }).joined(separator: "\n") + "\n"
  }

  /// The content of vocab.json.
  package var vocabulary: JSONValue {
    // Merges that were made here are never malformed.
    (try? CLIPVocabulary(merges: Array(merges.utf8)))?.json ?? .null
  }
}
