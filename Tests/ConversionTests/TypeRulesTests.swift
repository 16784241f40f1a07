import BlockFormats
import Checkpoints
import Conversion
import Foundation
import TestSupport
import Testing

@Suite("Rules for types")
struct TypeRulesTests {
  private let fixture: ConversionFixture

  init() throws { fixture = try ConversionFixture() }

  private func types(_ rules: String..., type: String = "q8_0") throws -> [String: ElementType] {
    let plan = try fixture.plan(
      ModelPaths(try fixture.synthetic()), try ConversionFixture.request(type, rules: rules))
    return plan.tensors.reduce(into: [:]) { $0[$1.name] = $1.type }
  }

  @Test("the last rule that matches counts, and only for what it matches")
  func lastWins() throws {
    let plain = try types()
    let ruled = try types("attn=q4_0", "w1o=Q5_1", "^vae\\.decoder.*conv_in.*weight=F32")
    for (name, type) in ruled {
      let expected: ElementType =
        if name.contains("w1o") {
          .q5_1
        } else if name.hasPrefix("vae.decoder"), name.contains("conv_in"), name.hasSuffix("weight")
        {
          .f32
        } else if name.contains("attn"), plain[name] == .q8_0 {
          .q4_0
        } else {
          plain[name] ?? .f64
        }
      // Norms and kernels of attention cannot be blocks.
      if name.contains("attn"), expected == plain[name], type == .f16 { continue }
      #expect(type == expected, "\(name)")
    }
  }

  @Test("what cannot be blocks falls back to F16, vectors to F32, and says why")
  func fallback() throws {
    let plan = try fixture.plan(
      ModelPaths(try fixture.synthetic()),
      try ConversionFixture.request("q8_0", rules: ["init_x|norm|conv=q4_0"]))
    for tensor in plan.tensors where tensor.reason?.contains("rule") == false {
      if tensor.name.contains("init_x_linear.weight") {
        #expect(tensor.type == .f16 && tensor.reason == "rows of 16 are not a multiple of 32")
      } else if tensor.name.contains("conv") || tensor.name.contains("norm") {
        let expected: ElementType = tensor.shape.count < 2 ? .f32 : .f16
        #expect(tensor.type == expected && tensor.reason == "not a matrix", "\(tensor.name)")
      }
    }
  }

  @Test("'keep' is the type of the input")
  func keep() throws {
    let types = try types("w2q=keep", type: "q4_0")
    #expect(types["double_layers.0.attn.w2q.weight"] == .f16)
    #expect(types["double_layers.0.attn.w2k.weight"] == .q4_0)
  }

  @Test(
    "wrong rules are refused",
    arguments: [
      ("attn", "REGEX=TYPE"), ("=f16", "REGEX=TYPE"), ("attn=q9", "not one of"),
      ("attn=q4_K_M", "not one of"), ("(attn=f16", "regular expression"),
      ("nothing_like_this=f16", "matches no tensor"), ("attn=", "not one of"),
    ])
  func faults(_ rule: String, _ message: String) throws {
    let error = #expect(throws: ConversionError.self) { _ = try types(rule) }
    #expect(error?.description.contains(message) == true, "\(String(describing: error))")
  }

  @Test("long and deeply nested patterns are refused or answered, not crashed on")
  func hostilePatterns() throws {
    for pattern in [
      String(repeating: "(", count: 450) + "a" + String(repeating: ")", count: 450),
      String(repeating: "[", count: 900), String(repeating: "a?", count: 400),
      String(repeating: "x", count: 5000), "\\", "[z-a]", "(?<n>a)\\k<m>", "a{5,2}", "\\u{110000}",
      "(?", "\u{0}", "[[:alpha:]&&[^a]]",
    ] {
      do { _ = try types(pattern + "=f16") } catch { #expect(error is ConversionError) }
    }
  }
}
