import StrictJSON

/// What folders hold of CLIP's tokenizer beside its merges and its vocabulary.
package enum CLIPFiles {
  private static let (start, end) = ("<|startoftext|>", "<|endoftext|>")

  /// The content of tokenizer_config.json, with which transformers treats texts as CLIP does.
  package static let settings: JSONValue = [
    "tokenizer_class": "CLIPTokenizer", "add_prefix_space": false, "do_lower_case": true,
    "errors": "replace", "model_max_length": 77, "bos_token": .string(start),
    "eos_token": .string(end), "unk_token": .string(end), "pad_token": .string(end),
    "clean_up_tokenization_spaces": true,
  ]
}
