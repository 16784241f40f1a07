import Compute

extension FluxTransformer {
  /// What a row of the text counts in single layers, beside 1 for one of the picture.
  private static let singleText: Float = 0.1
  /// And where nothing reads it any more: a little, so that no weight loses its inputs.
  private static let unreadText: Float = 1e-4

  /// The numbers were not measured for this family. Another one's rows of the text hardly reach the
  /// picture in single layers but by keys and values; here one matrix makes these and all else that
  /// a layer begins with, so text counts as something between.
  package func rowWeights(of weight: String, in layer: Int, _ session: Session) -> [Float] {
    let (text, image) = (session.contexts[0].rows.rows, session.patches.count)
    switch weights.layer(layer) {
    case .double(let streams):
      let isText = streams.text.stepWeights.contains { $0.name == weight }
      return Array(repeating: 1, count: isText ? text : image)
    case .single(let single):
      let isLast = layer == weights.layerCount - 1 && weight == single.output.weight.name
      return Array(repeating: isLast ? Self.unreadText : Self.singleText, count: text)
        + Array(repeating: 1, count: image)
    }
  }
}
