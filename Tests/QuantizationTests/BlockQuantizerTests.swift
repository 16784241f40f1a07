import BlockFormats
import KernelInterface
import Kernels
import Quantization
import Testing

/// The blocks of some rows.
func quantize(
  _ rows: [Float], columns: Int, as type: ElementType, quality: QuantizationQuality = .fast,
  importance: [Float]? = nil, kernels: KernelSet = KernelSelection.current
) throws -> [UInt8] {
  let quantizer = try #require(BlockQuantizer(type: type, quality: quality, kernels: kernels))
  let bytes = try #require(type.byteCount(elements: rows.count))
  // One more byte than is written shows writes past the end.
  var blocks = [UInt8](repeating: 0xA5, count: bytes + 1)
  rows.withUnsafeBufferPointer { rows in
    blocks.withUnsafeMutableBytes { blocks in
      if let importance {
        importance.withUnsafeBufferPointer {
          quantizer.quantize(rows, columns: columns, importance: $0, into: blocks)
        }
      } else {
        quantizer.quantize(rows, columns: columns, importance: nil, into: blocks)
      }
    }
  }
  #expect(blocks.removeLast() == 0xA5, "\(type.name) writes past the end")
  return blocks
}

@Suite struct BlockQuantizerTests {
  @Test("Types without a quantizer are refused")
  func onlyKnownTypes() {
    for type in ElementType.allCases {
      #expect((BlockQuantizer(type: type) != nil) == BlockQuantizer.types.contains(type))
    }
  }
}
