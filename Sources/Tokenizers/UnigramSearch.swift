/// Finds the most probable sequence of pieces of a text: the unigram model of SentencePiece.
///
/// Two libraries define the result, and differ where sequences are equally probable to the last
/// bits: SentencePiece keeps sums in single precision, Hugging Face's tokenizers in double.
struct UnigramSearch: Sendable {
  /// A piece on the best path, or text unknown to the vocabulary.
  struct Segment {
    let range: Range<Int>
    /// Nil for one unknown character.
    let id: Int32?
  }

  /// How the sums of scores are kept.
  enum Precision { case single, double }

  private var pieces = PrefixTree(limit: TokenizerLimits.unigramBytes)
  /// Log probabilities by id.
  private var scores: [Double] = []
  private let unknownScore: Double
  private let precision: Precision

  /// What an unknown character costs more than the least probable piece.
  private static let unknownPenalty = 10.0

  /// An empty vocabulary.
  ///
  /// - Parameters:
  ///   - lowestScore: the score of the least probable piece.
  ///   - count: how many ids there are.
  ///   - precision: how the sums of scores are kept.
  init(lowestScore: Double, count: Int, precision: Precision) {
    self.precision = precision
    scores = Array(repeating: 0, count: count)
    let unknown = lowestScore - Self.unknownPenalty
    unknownScore = precision == .single ? Double(Float(unknown)) : unknown
  }

  /// Adds a piece that texts are searched for.
  ///
  /// - Parameters:
  ///   - text: UTF-8 of the piece.
  ///   - id: its id, less than the count.
  ///   - score: its log probability.
  /// - Returns: false if the piece is empty or there already.
  /// - Throws: ``TokenizerError`` if there are too many bytes.
  mutating func insert(
    _ text: some Collection<UInt8>, id: Int32, score: Double
  ) throws(TokenizerError) -> Bool {
    scores[Int(id)] = score
    return try pieces.insert(text, value: id)
  }

  /// The end of the best path to a place in the text.
  private struct PathEnd {
    var score = 0.0
    /// Where its last segment starts; -1 if no path leads here.
    var start: Int32 = -1
    /// The last segment's piece; negative for an unknown character.
    var id: Int32 = -1
  }

  /// The best segments of a text of less than 2 GiB, from left to right.
  func segments(of text: ArraySlice<UInt8>) -> [Segment] {
    let base = text.startIndex
    var ends = [PathEnd](repeating: PathEnd(), count: text.count + 1)
    var start = 0
    while start < text.count {
      let length = min(
        UTF8Scalars.length(startingWith: text[base + start]), text.count - start)
      let scoreHere = ends[start].score
      var isKnown = false
      pieces.forEachMatch(in: text, at: base + start) { matched, id in
        let score = rounded(scores[Int(id)] + scoreHere)
        improve(&ends[start + matched], score, start, id)
        if matched == length { isKnown = true }
      }
      if !isKnown {
        improve(&ends[start + length], rounded(unknownScore + scoreHere), start, -1)
      }
      start += length
    }
    return path(ends, base)
  }

  /// Makes a path the best one to a place if it is; of equal ones the first stays.
  @inline(__always)
  private func improve(_ end: inout PathEnd, _ score: Double, _ start: Int, _ id: Int32) {
    guard end.start < 0 || score > end.score else { return }
    end = PathEnd(score: score, start: Int32(truncatingIfNeeded: start), id: id)
  }

  /// A sum as the library keeps it, before it compares.
  private func rounded(_ score: Double) -> Double {
    precision == .single ? Double(Float(score)) : score
  }

  private func path(_ ends: [PathEnd], _ base: Int) -> [Segment] {
    var segments: [Segment] = []
    var end = ends.count - 1
    while end > 0, ends[end].start >= 0 {
      let start = Int(ends[end].start)
      segments.append(
        Segment(range: base + start..<base + end, id: ends[end].id < 0 ? nil : ends[end].id))
      end = start
    }
    segments.reverse()
    return segments
  }
}
