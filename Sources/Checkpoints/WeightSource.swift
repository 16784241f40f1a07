import Compute
import ModelFiles

/// Where a network's weights come from. What a network asks for, in the order in which it asks, is
/// the one list of its tensors: files are read, checked, synthesized and written by it.
package protocol WeightSource: AnyObject {
  /// A weight of `[rows, columns]` in its stored type.
  ///
  /// - Parameters:
  ///   - name: our name.
  ///   - rows: outputs.
  ///   - columns: inputs; trailing dimensions of the file (convolution kernels) are folded in.
  /// - Returns: the weight where it lies; nothing is dequantized.
  /// - Throws: `ModelFileError` naming the tensor, what was expected and what was found.
  func matrix(_ name: String, rows: Int, columns: Int) throws(ModelFileError) -> WeightMatrix

  /// A convolution weight of `[outputs, inputs, kernel, kernel]`; a 1×1 kernel may be left out.
  func convolution(
    _ name: String, outputs: Int, inputs: Int, kernel: Int
  ) throws(ModelFileError) -> WeightMatrix

  /// A vector as float32.
  func vector(_ name: String, count: Int) throws(ModelFileError) -> [Float]

  /// A small matrix as float32, row by row.
  func values(_ name: String, rows: Int, columns: Int) throws(ModelFileError) -> [Float]

  /// Refuses tensors that the architecture has no use for.
  ///
  /// - Parameter ignoring: beginnings of our names that may be there unused.
  /// - Throws: `ModelFileError` for the first of them.
  func expectNothingElse(ignoring: [String]) throws(ModelFileError)

  /// The name under which a file has, or should have, a tensor.
  func storedName(_ name: String) -> String

  /// An error about the weights as a whole.
  func malformed(_ fault: String) -> ModelFileError
}

extension WeightSource {
  /// Refuses tensors that the architecture has no use for.
  package func expectNothingElse() throws(ModelFileError) { try expectNothingElse(ignoring: []) }
}

/// A tensor that a network asked for.
package struct WeightRequest: Sendable, Equatable {
  /// Our name.
  package let name: String
  /// Row-major: `[rows, columns]`, `[outputs, inputs, kernel, kernel]` or `[count]`.
  package let shape: [Int]
}

/// Records what a network of given sizes asks for, and gives empty weights, with which it must not
/// be run.
package final class RequestedWeights: WeightSource {
  /// In the order in which they were asked for.
  package private(set) var requests: [WeightRequest] = []

  package init() {}

  package func matrix(
    _ name: String, rows: Int, columns: Int
  ) throws(ModelFileError) -> WeightMatrix {
    requests.append(WeightRequest(name: name, shape: [rows, columns]))
    return WeightMatrix(segments: [], columns: columns)
  }

  package func convolution(
    _ name: String, outputs: Int, inputs: Int, kernel: Int
  ) throws(ModelFileError) -> WeightMatrix {
    requests.append(WeightRequest(name: name, shape: [outputs, inputs, kernel, kernel]))
    return WeightMatrix(segments: [], columns: inputs * kernel * kernel)
  }

  package func vector(_ name: String, count: Int) throws(ModelFileError) -> [Float] {
    requests.append(WeightRequest(name: name, shape: [count]))
    return []
  }

  package func values(
    _ name: String, rows: Int, columns: Int
  ) throws(ModelFileError) -> [Float] {
    requests.append(WeightRequest(name: name, shape: [rows, columns]))
    return []
  }

  package func expectNothingElse(ignoring: [String]) throws(ModelFileError) {}

  package func storedName(_ name: String) -> String { name }

  package func malformed(_ fault: String) -> ModelFileError {
    ModelFileError(path: "preset", kind: .malformed, fault: fault)
  }
}
