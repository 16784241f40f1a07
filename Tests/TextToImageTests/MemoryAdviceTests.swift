import Checkpoints
import Foundation
import Machine
import TextToImage
import Testing

@Suite("Advice where memory does not suffice") struct MemoryAdviceTests {
  private func pipeline(_ memory: MemoryBudget) throws -> Pipeline {
    try Pipeline(ModelPaths(model: try ShippedModel.path()), threadCount: 2, memory: memory)
  }

  private func request(side: Int) -> GenerationRequest {
    var request = GenerationRequest(prompt: "a red apple")
    (request.width, request.height) = (side, side)
    return request
  }

  private func advice(_ memory: Int, side: Int) throws -> String? {
    do {
      _ = try pipeline(.bytes(memory)).checkedSettings(for: request(side: side))
      return nil
    } catch GenerationError.overBudget(let advice) {
      return advice
    }
  }

  @Test("the budget that is recommended holds")
  func recommended() throws {
    let advice = try #require(try advice(20 << 20, side: 128))
    #expect(advice.hasPrefix("128x128 needs ") && advice.contains(" may be used: allow --memory "))
    let words = advice.split(separator: " ")
    let place = try #require(words.firstIndex(of: "--memory"))
    let number = words[place + 1].prefix { $0.isNumber }
    let mebibytes = try #require(Int(number))
    #expect(mebibytes % 64 == 0 && words[place + 1].dropFirst(number.count) == "MiB")
    #expect(try self.advice(mebibytes << 20, side: 128) == nil)
  }

  @Test("where no size fits, none is recommended")
  func nothing() throws {
    let advice = try #require(try advice(1, side: 128))
    #expect(!advice.contains(", or "))
  }
}
