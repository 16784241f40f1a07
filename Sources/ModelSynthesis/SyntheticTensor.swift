import BlockFormats
import Checkpoints
import ModelFiles

/// A tensor to synthesize: one that a network asks for.
struct SyntheticTensor: Sendable {
  enum Content: Sendable {
    case random(standardDeviation: Float)
    case constant(Float)
  }

  let part: Slot
  /// Our name.
  let name: String
  /// Row-major.
  let shape: [Int]
  /// What the tensor is for, which decides about its type.
  let role: TensorRole
  let content: Content

  /// - Parameters:
  ///   - request: what the network asks for.
  ///   - part: the part of the model.
  ///   - network: what is known of its tensors.
  init(_ request: WeightRequest, of part: Slot, _ network: NetworkDescription) {
    let match = network.roles.match(request.name)
    self.part = part
    name = request.name
    // Other dimensions are as the network asks for them in files and folders alike.
    if case .leadingOne = match.rule.shape {
      shape = match.rule.shape.shape(of: request.shape, inFolder: false)
    } else {
      shape = request.shape
    }
    role = match.role(shape: request.shape)
    let inputs = shape.dropFirst().reduce(1, *)
    content =
      switch match.rule.content {
      case .weight(let gain):
        .random(standardDeviation: gain / Float(max(1, inputs)).squareRoot())
      case .table(let standardDeviation): .random(standardDeviation: standardDeviation)
      case .constant(let value): .constant(value)
      }
  }

  /// Rows that are made one by one: what belongs to one index of the first dimension that is not 1.
  var rowCount: Int { shape.first { $0 != 1 } ?? 1 }

  /// The shape of some of its rows.
  func shape(rows: Int) -> [Int] {
    guard let place = shape.firstIndex(where: { $0 != 1 }) else { return shape }
    return shape.enumerated().map { $0 == place ? rows : $1 }
  }

  /// Elements of a row.
  var rowLength: Int { shape.reduce(1, *) / max(1, rowCount) }

  /// How the tensor is stored in a model of a type.
  ///
  /// - Parameters:
  ///   - type: the type of the matrices.
  ///   - isUniform: whether vectors have that type too, as in published folders.
  /// - Returns: the tensor's type.
  func storedType(_ type: ElementType, isUniform: Bool) -> ElementType {
    if role.isQuantized { return type }
    // Small tables too are numbers of the type.
    if shape.count > 1 { return type.isBlockQuantized ? .f16 : type }
    return isUniform ? type : .f32
  }
}
