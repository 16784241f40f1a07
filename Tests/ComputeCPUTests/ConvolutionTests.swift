import BlockFormats
import Compute
import ComputeCPU
import KernelInterface
import Kernels
import Machine
import TestSupport
import Testing

@Suite("Convolution")
struct ConvolutionTests {
  private struct Layer {
    let kernel: Int
    let inputs: Int
    let outputs: Int
    let weight: [Float]
    let bias: [Float]

    init(kernel: Int, inputs: Int, outputs: Int) {
      self.kernel = kernel
      self.inputs = inputs
      self.outputs = outputs
      weight = SeededWeights.values("weight", count: outputs * inputs * kernel * kernel)
      bias = SeededWeights.values("bias", count: outputs)
    }

    func run(
      _ image: ImagePlanes, doubled: Bool, on device: CPUDevice,
      _ body: (PackedConvolution) throws -> Void
    ) throws {
      let stored = try FloatBuffer(count: weight.count)
      stored.pointer.update(from: weight, count: weight.count)
      let storage = ResidentStorage(stored.pointer, byteCount: 4 * weight.count, owner: stored)
      let matrix = WeightMatrix(
        segments: [.init(storage: storage, type: .f32, rows: outputs)],
        columns: inputs * kernel * kernel)
      try body(device.pack(Convolution(weight: matrix, bias: bias, kernel: kernel)))
    }

    /// In float64, straight from the definition.
    func exact(_ image: ImagePlanes, doubled: Bool) -> [Float] {
      let factor = doubled ? 2 : 1
      let (height, width) = (image.height * factor, image.width * factor)
      let values = image.planes.values
      var result: [Float] = []
      for output in 0..<outputs {
        for y in 0..<height {
          for x in 0..<width {
            var sum = Double(bias[output])
            for input in 0..<inputs {
              for dy in 0..<kernel {
                for dx in 0..<kernel {
                  let (sourceY, sourceX) = (y + dy - kernel / 2, x + dx - kernel / 2)
                  guard (0..<height).contains(sourceY), (0..<width).contains(sourceX) else {
                    continue
                  }
                  let pixel =
                    (input * image.height + sourceY / factor) * image.width + sourceX / factor
                  let filter = ((output * inputs + input) * kernel + dy) * kernel + dx
                  sum += Double(values[pixel]) * Double(weight[filter])
                }
              }
            }
            result.append(Float(sum))
          }
        }
      }
      return result
    }
  }

  @Test(
    "bands of any height give the same bits, close to float64",
    arguments: [(1, false, 11), (3, false, 11), (3, true, 11), (3, false, 53), (3, false, 160)],
    KernelSelection.available)
  func bands(layer: (kernel: Int, doubled: Bool, width: Int), kernels: KernelSet) throws {
    // Rows that end within a tile of any kernels, and rows with whole tiles inside.
    let (height, width) = (7, layer.width)
    let image = ImagePlanes(
      planes: try Matrix(
        SeededWeights.values("image", count: 19 * height * width), rows: 19,
        columns: height * width), height: height, width: width)
    let device = CPUDevice(threadCount: 2, kernels: kernels)
    let convolution = Layer(kernel: layer.kernel, inputs: 19, outputs: 10)
    let factor = layer.doubled ? 2 : 1
    try convolution.run(image, doubled: layer.doubled, on: device) { packed in
      func result(bandRows: Int) throws -> [Float] {
        let result = try ImagePlanes(channels: 10, height: height * factor, width: width * factor)
        for first in stride(from: 0, to: result.height, by: bandRows) {
          let rows = first..<min(result.height, first + bandRows)
          try device.convolve(
            ImageRows(image), by: packed, doubled: layer.doubled, rows: rows,
            into: result.planes.columns(
              rows.lowerBound * result.width..<rows.upperBound * result.width))
        }
        return result.planes.values
      }
      let whole = try result(bandRows: height * factor)
      #expect(
        relativeError(whole, convolution.exact(image, doubled: layer.doubled))
          < Tolerance.convolution)
      for bandRows in [1, 2, 3, 5] {
        let cut = try result(bandRows: bandRows)
        #expect(cut == whole)
      }
    }
  }
}
