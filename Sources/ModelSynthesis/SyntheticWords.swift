/// Syllables and words of syllables, of which synthetic vocabularies consist: a text of such words
/// gives about as many tokens as with a real one.
enum SyntheticWords {
  /// A consonant with a vowel.
  static let syllables = "bcdfghjklmnpqrstvwxyz".flatMap { first in
    "aeiou".map { "\(first)\($0)" }
  }
}
