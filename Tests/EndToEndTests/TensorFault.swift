import ModelFiles
import StrictJSON
import TestSupport
import TextToImage

/// What can be wrong with one tensor of a model.
enum TensorFault: String, CaseIterable {
  case dropped, reshaped, folded, shortened, emptied, retyped

  /// Whether a tensor of a pipeline cannot be used after the fault.
  func spoils(_ tensor: SafetensorsWriter.FloatTensor) -> Bool {
    // The VAE's encoder is not used to generate.
    let unused = ["encoder.down_blocks", "encoder.conv", "encoder.mid_block", "quant_conv"]
    if unused.contains(where: { tensor.name.hasPrefix($0) }) { return false }
    return self == .retyped || self == .dropped || shape(of: tensor) != nil
  }

  /// The shape that the file gives the tensor; nil where that is not the fault.
  func shape(of tensor: SafetensorsWriter.FloatTensor) -> [Int]? {
    let shape = tensor.shape
    // Dimensions of 1 at the front do not count.
    guard let first = shape.firstIndex(where: { $0 > 1 }) else { return nil }
    var result = shape
    switch self {
    case .dropped, .retyped: return nil
    case .reshaped: return [shape.reduce(1, *), 1, 1, 1, 1]
    case .shortened: result[first] -= 1
    case .emptied: result[first] = 0
    case .folded:
      guard first + 1 < shape.count, shape[first] % 2 == 0 else { return nil }
      // Fewer buckets for more heads make a sound layer, if no other one contradicts.
      if tensor.name.hasSuffix("relative_attention_bias.weight"), shape[1] == 1 { return nil }
      result[first] /= 2
      result[first + 1] *= 2
    }
    return result
  }

  /// A file of all tensors, one of which has the fault.
  func encode(_ tensors: [SafetensorsWriter.FloatTensor], damaging index: Int) -> [UInt8] {
    var members: [String] = []
    var data: [UInt8] = []
    for (position, tensor) in tensors.enumerated() where position != index || self != .dropped {
      let isDamaged = position == index
      let shape = (isDamaged ? self.shape(of: tensor) : nil) ?? tensor.shape
      let type = isDamaged && self == .retyped ? "I32" : "F32"
      let end = data.count + shape.reduce(1, *) * 4
      members.append(
        "\(JSONText.quoted(tensor.name)):{\"dtype\":\"\(type)\",\"shape\":\(shape),"
          + "\"data_offsets\":[\(data.count),\(end)]}")
      tensor.values.withUnsafeBytes { data += $0.prefix(end - data.count) }
    }
    let header = Array("{\(members.joined(separator: ","))}".utf8)
    return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header + data
  }
}
