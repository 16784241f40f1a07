import BlockFormats
import Checkpoints
import ModelFiles

/// A tensor to make up.
struct SyntheticTensor: Sendable {
  /// What the tensor is for, which decides about its type.
  enum Role: Sendable {
    /// One of the matrices that make up nearly all of the model.
    case matrix
    /// Small tables and layers that quantizers leave alone, convolutions.
    case sensitive
    /// Norm weights and biases.
    case vector
  }

  enum Content: Sendable {
    case random(standardDeviation: Float)
    case constant(Float)
  }

  let part: ModelPart
  /// Our name: the original release's, llama.cpp's, LDM's.
  let name: String
  /// Row-major.
  let shape: [Int]
  let role: Role
  let content: Content

  /// A weight whose outputs vary as much as its inputs.
  ///
  /// - Parameters:
  ///   - part: the part of the model.
  ///   - name: our name.
  ///   - shape: `[out, in]`, or a convolution's `[out, in, height, width]`.
  ///   - role: what it is for.
  ///   - gain: factor on the outputs.
  /// - Returns: the tensor.
  static func weight(
    _ part: ModelPart, _ name: String, _ shape: [Int], _ role: Role = .matrix, gain: Float = 1
  ) -> SyntheticTensor {
    let inputs = shape.dropFirst().reduce(1, *)
    return SyntheticTensor(
      part: part, name: name, shape: shape, role: role,
      content: .random(standardDeviation: gain / Float(max(1, inputs)).squareRoot()))
  }

  /// Rows of values that are added to or looked up by something.
  static func table(
    _ part: ModelPart, _ name: String, _ shape: [Int], _ role: Role, standardDeviation: Float
  ) -> SyntheticTensor {
    SyntheticTensor(
      part: part, name: name, shape: shape, role: role,
      content: .random(standardDeviation: standardDeviation))
  }

  /// A vector of equal numbers.
  static func vector(
    _ part: ModelPart, _ name: String, _ count: Int, _ value: Float
  ) -> SyntheticTensor {
    SyntheticTensor(
      part: part, name: name, shape: [count], role: .vector, content: .constant(value))
  }

  /// Rows that are made one by one: what belongs to one index of the first dimension that is not 1.
  var rowCount: Int { shape.first { $0 != 1 } ?? 1 }

  /// Elements of a row.
  var rowLength: Int { shape.reduce(1, *) / max(1, rowCount) }

  /// How the tensor is stored in a model of a type.
  ///
  /// - Parameters:
  ///   - type: the type of the matrices.
  ///   - isUniform: whether vectors have that type too, as in published folders.
  /// - Returns: the tensor's type.
  func storedType(_ type: ElementType, isUniform: Bool) -> ElementType {
    switch role {
    case .matrix: type
    case .sensitive: type.isBlockQuantized ? .f16 : type
    case .vector: isUniform ? type : .f32
    }
  }
}
