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

  @Test("the size that is recommended fits into the same memory, and is the largest such")
  func smaller() throws {
    let roomy = try pipeline(.max)
    let small = roomy.leastMemory(for: try roomy.settings(for: request(side: 64)))
    let large = roomy.leastMemory(for: try roomy.settings(for: request(side: 128)))
    #expect(small < large)
    let budget = (small + large) / 2
    let advice = try #require(try advice(budget, side: 128))
    let size = try #require(advice.components(separatedBy: ", or ").last)
    let sides = size.split(separator: "x").compactMap { Int($0) }
    #expect(sides.count == 2 && sides[0] == sides[1] && sides[0] < 128, "\(advice)")
    #expect(try self.advice(budget, side: sides[0]) == nil)
    #expect(try self.advice(budget, side: sides[0] + roomy.sizeMultiple) != nil)
  }

  @Test("where no size fits, none is recommended")
  func nothing() throws {
    let advice = try #require(try advice(1, side: 128))
    #expect(!advice.contains(", or "))
  }
}
