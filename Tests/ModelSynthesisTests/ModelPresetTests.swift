import Checkpoints
import TestSupport
import Testing

@Suite struct ModelPresetTests {
  @Test(
    "Published models have as many parameters as published",
    arguments: [
      (ModelPreset.auraFlowV03, Slot.transformer, 6_858_605_568),
      (.auraFlowV02, .transformer, 6_842_876_928),
      (.auraFlowV03, .textEncoder, 1_223_550_976),
      (.auraFlowV03, .autoencoder, 83_653_863),
    ])
  func parameterCounts(_ preset: ModelPreset, _ part: Slot, _ count: Int) throws {
    #expect(try preset.parameterCount(part) == count)
  }
}
