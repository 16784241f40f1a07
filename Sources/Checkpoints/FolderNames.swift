extension ModelPart {
  /// The folder of the part in a pipeline's folder.
  package var folderName: String {
    switch self {
    case .transformer: "transformer"
    case .textEncoder: "text_encoder"
    case .autoencoder: "vae"
    }
  }

  /// What diffusers and transformers call the part's files, without ending.
  package var weightsStem: String { self == .textEncoder ? "model" : "diffusion_pytorch_model" }

  /// The name that a part's tensor has in a diffusers folder.
  ///
  /// - Parameters:
  ///   - name: our name: the original release's, llama.cpp's or LDM's.
  ///   - levels: levels of an autoencoder, whose decoder diffusers counts from the other end.
  /// - Returns: diffusers' or Hugging Face's name; nil for a name that no such part has.
  package func folderName(of name: String, levels: Int = 0) -> String? {
    // Our own names come first in every list of tables, those of folders second.
    tables.count > 1 ? tables[1].foreignName(of: name, levels: levels) : nil
  }
}
