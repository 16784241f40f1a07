/// A reader of untrusted bytes, with everything that is done with what it returns.
///
/// Shared by the fuzzer (`tools/fuzz.sh`) and by the test that replays its corpus.
package enum FuzzedReader: String, CaseIterable, Sendable {
  case gguf
  case safetensors
  /// The index of a sharded checkpoint.
  case safetensorsIndex = "safetensors-index"
  case json
  /// tokenizer.json; the members `tokenizer_config`, `special_tokens_map` and `text` of the object
  /// stand for the files beside it and for a prompt.
  case tokenizerJSON = "tokenizer-json"
  /// merges.txt, and behind a zero byte vocab.json.
  case clipMerges = "clip-merges"
  /// tokenizer.model or spiece.model.
  case sentencePiece = "sentencepiece"
  /// The vocabulary in the metadata of a GGUF file.
  case ggufVocabulary = "gguf-vocabulary"
  case png

  /// Reads bytes as this format, and all that they give if they are accepted.
  ///
  /// - Parameter bytes: any bytes.
  /// - Returns: whether they were accepted, or refused with a reason.
  /// - Throws: ``BrokenPromise`` if what was read is not as its reader promises.
  package func read(_ bytes: UnsafeRawBufferPointer) throws(BrokenPromise) -> Bool {
    switch self {
    case .gguf: try readGGUF(bytes)
    case .safetensors: try readSafetensors(bytes)
    case .safetensorsIndex: try readSafetensorsIndex(bytes)
    case .json: try readJSON(bytes)
    case .tokenizerJSON: try readTokenizerJSON(bytes)
    case .clipMerges: try readCLIPMerges(bytes)
    case .sentencePiece: try readSentencePiece(bytes)
    case .ggufVocabulary: try readGGUFVocabulary(bytes)
    case .png: try readPNG(bytes)
    }
  }
}

/// Something that a reader promises and that does not hold.
package struct BrokenPromise: Error, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}

/// Checks a promise.
func expect(
  _ holds: Bool, _ promise: @autoclosure () -> String
) throws(BrokenPromise) {
  guard holds else { throw BrokenPromise(promise()) }
}
