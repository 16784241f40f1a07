import BlockFormats
import Testing

@Suite struct ElementTypeTests {
  @Test("Every type's row of the table is its own", arguments: ElementType.allCases)
  func rowsMatchTheirCases(_ type: ElementType) {
    // The printed name is the case's name in other letters, so a shifted row shows.
    #expect(type.name == "\(type)".uppercased())
    #expect(ElementType.allCases.firstIndex(of: type) == Int(type.rawValue))
    #expect(type.elementsPerBlock > 0 && type.bytesPerBlock > 0)
    #expect(type.ggufID != nil || type.safetensorsName != nil)
    if let id = type.ggufID { #expect(ElementType(ggufID: id) == type) }
    if let name = type.safetensorsName {
      #expect(ElementType(safetensorsName: name) == type)
      #expect(name == type.name)
    }
  }

  @Test("Names and numbers are unique")
  func namesAndNumbersAreUnique() {
    let types = ElementType.allCases
    #expect(Set(types.map(\.name)).count == types.count)
    let ids = types.compactMap(\.ggufID)
    #expect(Set(ids).count == ids.count)
    let names = types.compactMap(\.safetensorsName)
    #expect(Set(names).count == names.count)
    #expect(ids.count == 35)
    #expect(names.count == 22)
  }

  @Test("The numbers are those of ggml.h")
  func numbersAreThoseOfGGML() {
    let expected: [UInt32: String] = [
      0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
      10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS",
      17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S",
      23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M",
      30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0", 42: "Q2_0",
    ]
    for id in 0..<100 as Range<UInt32> {
      #expect(ElementType(ggufID: id)?.name == expected[id], "ggml type \(id)")
    }
    #expect(ElementType(ggufID: .max) == nil)
    #expect(ElementType.ggufTypes.map(\.name) == expected.sorted { $0.key < $1.key }.map(\.value))
    // What has been removed fills the gaps, and nothing else does.
    let removed = (0..<100 as Range<UInt32>).filter { ElementType.removedName(ggufID: $0) != nil }
    #expect(removed == (0...42).filter { expected[$0] == nil })
  }

  @Test("Unknown dtype strings are no types", arguments: ["", "f32", "F32 ", "Q4_0", "float32"])
  func unknownNamesAreNoTypes(_ name: String) {
    #expect(ElementType(safetensorsName: name) == nil)
  }

  @Test("Block sizes follow from the layouts")
  func storageCosts() {
    // A scale of two bytes, then half a byte for each element.
    #expect(ElementType.q4_0.bytesPerBlock == 2 + ElementType.q4_0.elementsPerBlock / 2)
    #expect(ElementType.q6_K.byteCount(elements: 256) == 210)
    #expect(ElementType.iq4_xs.byteCount(elements: 256) == 136)
    #expect(ElementType.f4.byteCount(elements: 2) == 1)
    #expect(ElementType.f32.byteCount(elements: 1) == 4)
    #expect(!ElementType.f4.isBlockQuantized && !ElementType.f16.isBlockQuantized)
  }

  @Test(
    "What files can be converted to has every fact", arguments: ElementType.conversionTargets)
  func conversionTargetsAreComplete(_ type: ElementType) throws {
    #expect(type.fileType != nil && type.ggufID != nil && type.isWeightType)
    for step in [type.stepBetter, type.stepSmaller] { #expect(step.isConversionTarget) }
    #expect(type.stepBetter == type || type.stepBetter.bytes > type.bytes)
    #expect(type.stepSmaller == type || type.stepSmaller.bytes < type.bytes)
    guard type.isBlockQuantized else { return }
    #expect(type.weightError != nil)
    #expect(!type.scaleOffsets.isEmpty)
    let layout = try #require(type.codeLayout, "\(type.name) is missing in codedFormat(ggmlType:)")
    #expect(layout.groupWidth == 16 || layout.groupWidth == 32)
    let bits = try #require(type.randomBits)
    #expect(bits.scaleOffset == type.scaleOffsets.first && bits.hasMinimums == layout.hasMinimums)
  }

  @Test("Nothing else has facts of conversion")
  func onlyTargetsHaveFileTypes() {
    let targets = ElementType.conversionTargets
    #expect(Set(targets).count == targets.count)
    for type in ElementType.allCases where !targets.contains(type) {
      #expect(!type.isConversionTarget && type.fileType == nil && !type.isSizeCandidate)
      #expect(type.stepBetter == type && type.stepSmaller == type)
    }
    #expect(Set(targets.compactMap(\.fileType)).count == targets.count)
  }

  @Test("Ladders lead from the smallest to the best of a kind")
  func ladders() {
    #expect(ElementType.q2_K.ladder == [.q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .q8_0])
    #expect(ElementType.q4_0.ladder == [.q4_0, .q5_0, .q8_0])
    #expect(ElementType.q4_1.ladder == [.q4_1, .q5_1, .q8_0])
    #expect(ElementType.iq4_xs.ladder == [.iq4_xs, .q5_K, .q6_K, .q8_0])
    #expect(ElementType.iq4_nl.ladder == [.iq4_nl, .q5_0, .q8_0])
    let smaller = ElementType.conversionTargets.filter(\.isBlockQuantized).map(\.stepSmaller)
    #expect(
      smaller == [
        .q6_K, .q5_K, .q4_K, .q4_1, .q4_0, .q3_K, .q3_K, .q3_K, .q3_K, .q3_K, .q2_K, .q2_K,
      ])
  }

  @Test("Bytes are counted for whole blocks only", arguments: ElementType.allCases)
  func bytesAreCountedForWholeBlocks(_ type: ElementType) {
    let block = type.elementsPerBlock
    #expect(type.byteCount(elements: 0) == 0)
    #expect(type.byteCount(elements: block) == type.bytesPerBlock)
    #expect(type.byteCount(elements: 7 * block) == 7 * type.bytesPerBlock)
    #expect(type.byteCount(elements: -block) == nil)
    if block > 1 {
      #expect(type.byteCount(elements: 1) == nil)
      #expect(type.byteCount(elements: block - 1) == nil)
      #expect(type.byteCount(elements: block + 1) == nil)
    }
  }

  @Test("A count whose bytes overflow has no size")
  func overflowHasNoSize() {
    #expect(ElementType.f32.byteCount(elements: .max) == nil)
    #expect(ElementType.f32.byteCount(elements: 1 << 61) == nil)
    #expect(ElementType.f32.byteCount(elements: (1 << 61) - 1) == .max - 3)
    #expect(ElementType.u8.byteCount(elements: .max) == .max)
    #expect(ElementType.q8_K.byteCount(elements: .max & ~255) == nil)
    #expect(ElementType.q4_0.byteCount(elements: 1 << 62) == (1 << 57) * 18)
  }
}

extension ElementType {
  /// Bytes of 256 elements.
  fileprivate var bytes: Int { 256 / elementsPerBlock * bytesPerBlock }
}
