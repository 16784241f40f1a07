import Compute
import Machine
import ModelFiles

extension PartAdapters {
  /// A weight with what adapters add to it.
  func updated(_ base: WeightMatrix, _ name: String) throws(ModelFileError) -> WeightMatrix {
    guard let terms = weights[name] else { return base }
    var updates: [WeightUpdate] = []
    for term in terms { updates += try term.updates(of: base) }
    return updates.isEmpty ? base : base.updated(by: updates)
  }

  /// A vector with what adapters change in it: a bias, or a weight by itself.
  func updated(_ vector: [Float], _ name: String) throws(ModelFileError) -> [Float] {
    var vector = vector
    for term in weights[name] ?? [] { try term.apply(toVector: &vector) }
    for term in biases[name] ?? [] { try term.apply(toBias: &vector) }
    return vector
  }
}

extension StoredWeights {
  /// A weight with what adapters add to it.
  func adapted(_ weight: WeightMatrix, _ name: String) throws(ModelFileError) -> WeightMatrix {
    guard let adapters else { return weight }
    let updated = try adapters.updated(weight, name)
    if !updated.updates.isEmpty { updates[name] = updated.updates }
    return updated
  }

  /// A vector with what adapters change in it.
  func adapted(_ vector: [Float], _ name: String) throws(ModelFileError) -> [Float] {
    guard let adapters else { return vector }
    let updated = try adapters.updated(vector, name)
    guard updated != vector else { return vector }
    do throws(ComputeError) {
      let difference = try WeightMatrix(
        resident: zip(updated, vector).map { $0 - $1 }, rows: vector.count, columns: 1)
      updates[name] = [WeightUpdate(rows: 0..<vector.count, .dense(difference))]
    } catch {
      throw ModelFileError(path: path, kind: .outOfMemory, fault: error.description)
    }
    return updated
  }
}
