import Benchmarks
import BlockFormats
import ComputeCPU
import Foundation
import Kernels
import TestSupport
import Testing

@Suite("What rounded activations cost") struct ActivationAccuracyTests {
  /// A few rows of each linear layer of the demo model.
  private func demoRows() throws -> [[Float]] {
    let golden = try Golden("activations/demo-rows.safetensors")
    return try golden.names.flatMap { name in
      let (columns, values) = (try golden.shape(name)[1], try golden.floats(name))
      return stride(from: 0, to: values.count, by: columns).map {
        Array(values[$0..<$0 + columns])
      }
    }
  }

  @Test(
    "By default the total error grows by at most a tenth and less than with ggml's 8 bits",
    arguments: ActivationAccuracy.types, KernelSelection.available.map(\.name))
  func defaultIsAccurate(_ type: ElementType, _ set: String) throws {
    let kernels = try #require(KernelSelection.available.first { $0.name == set })
    let device = CPUDevice(threadCount: 1, kernels: kernels)
    for rows in [try normalRows(count: 24, columns: 768), try demoRows()] {
      let result = try ActivationAccuracy(type: type).run(rows: rows, on: device)
      #expect(result.growth <= 0.1)
      // Where ggml rounds in groups of 32 too, only its float16 scales differ, which may help by
      // chance: half a percent is what 24 rows leave to chance.
      #expect(result.activationError <= result.ggmlActivationError * 1.005)
    }
  }

  @Test("Exact products are within 1e-4", arguments: ActivationAccuracy.types)
  func exactIsExact(_ type: ElementType) throws {
    for kernels in KernelSelection.available {
      let device = CPUDevice(threadCount: 1, activations: .exact, kernels: kernels)
      for rows in [try normalRows(count: 8, columns: 768), try demoRows()] {
        let result = try ActivationAccuracy(type: type).run(rows: rows, on: device)
        #expect(result.activationError < 1e-4)
      }
    }
  }
}
