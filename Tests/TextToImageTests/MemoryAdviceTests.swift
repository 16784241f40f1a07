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

  /// What a picture needs counts what the process has resident, which tests beside this one change:
  /// repeats `body` until that was the same before and after it.
  private func steadily<Value>(_ body: (_ least: (Int) throws -> Int) throws -> Value) throws
    -> Value
  {
    func least(_ side: Int) throws -> Int {
      let pipeline = try pipeline(.max)
      return pipeline.leastMemory(for: try pipeline.settings(for: request(side: side)))
    }
    for _ in 0..<100 {
      let before = try least(64)
      let value = try body(least)
      if abs(try least(64) - before) < 256 << 10 { return value }
    }
    return try body(least)
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
    let multiple = try pipeline(.max).sizeMultiple
    let (text, fits, isLargest) = try steadily { least in
      let (small, large) = (try least(64), try least(128))
      #expect(small < large)
      let budget = (small + large) / 2
      let text = try advice(budget, side: 128) ?? ""
      let side = Self.side(in: text)
      return (
        text, try side.map { try advice(budget, side: $0) == nil } ?? false,
        try side.map { try advice(budget, side: $0 + multiple) != nil } ?? false
      )
    }
    let side = try #require(Self.side(in: text), "\(text)")
    #expect(side < 128 && fits && isLargest, "\(text)")
  }

  /// The side of the square that an advice ends with.
  private static func side(in advice: String) -> Int? {
    let size = advice.components(separatedBy: ", or ").last ?? ""
    let sides = size.split(separator: "x").compactMap { Int($0) }
    return sides.count == 2 && sides[0] == sides[1] ? sides[0] : nil
  }

  @Test("where no size fits, none is recommended")
  func nothing() throws {
    let advice = try #require(try advice(1, side: 128))
    #expect(!advice.contains(", or "))
  }
}
