import Compute

extension AuraFlowTransformer {
  /// How much a row of each kind counts.
  private struct RowKinds {
    let register, text, padding, image: Float

    /// Where keys and values of single layers are made, by which all rows reach the picture.
    static let singleKeys = RowKinds(register: 0.03, text: 0.1, padding: 0.03, image: 1)
    /// Everything else in single layers: rows of the context hardly reach the picture, and not at
    /// all in the last layer. They count a little, so that no weight loses its inputs.
    static let singleRest = RowKinds(register: 1e-4, text: 1e-4, padding: 1e-4, image: 1)
    /// In double layers, where context and image have weights of their own.
    static let double = RowKinds(register: 0.1, text: 1, padding: 0.1, image: 1)
  }

  /// The numbers come from backward passes through a small model: in single layers a row of text
  /// matters 1e-4 to 1e-8 of a picture's for all weights but those of keys and values.
  package func rowWeights(of weight: String, in layer: Int, _ session: Session) -> [Float] {
    let streams = weights.streams(of: layer)
    guard let stream = streams.firstIndex(where: { $0.stepWeights.contains { $0.name == weight } })
    else { preconditionFailure("\(weight) is not read in layer \(layer)") }
    let kinds: RowKinds
    if streams.count > 1 {
      kinds = .double
    } else {
      let readers = [streams[0].k.name, streams[0].v.name]
      kinds = readers.contains(weight) ? .singleKeys : .singleRest
    }
    let context = contextWeights(kinds, session.contexts[0])
    let image = Array(repeating: kinds.image, count: session.patches.count)
    return streams.count == 1 ? context + image : stream == 0 ? context : image
  }

  private func contextWeights(_ kinds: RowKinds, _ context: Context) -> [Float] {
    let registers = configuration.registerCount
    let paddingRows = min(context.padding, 1)
    // One row stands for all padding.
    let padding = kinds.padding * Float(max(1, context.padding))
    return Array(repeating: kinds.register, count: registers)
      + Array(repeating: kinds.text, count: context.rows.rows - registers - paddingRows)
      + Array(repeating: padding, count: paddingRows)
  }
}
