import AuraFlowFamily
import Checkpoints
import Testing

@Suite("Roles of tensors")
struct RoleRuleTests {
  private func match(_ slot: Slot, _ name: String) -> RoleMatch {
    slot.networks[0].roles.match(name)
  }

  @Test(
    "transformers",
    arguments: [
      ("double_layers.0.attn.w1v.weight", TensorRole.value, "double.value"),
      ("double_layers.3.attn.w2o.weight", .output, "double.output"),
      ("single_layers.7.attn.w1k.weight", .matrix, "single.query-key"),
      ("single_layers.7.modCX.1.weight", .modulation, "single.modulation"),
      ("double_layers.0.mlpC.c_proj.weight", .matrix, "double.down"),
      ("register_tokens", .table, "other"), ("final_linear.weight", .sensitive, "other"),
    ])
  func transformer(_ name: String, _ role: TensorRole, _ group: String) {
    let match = match(AuraFlow.transformer, name)
    #expect(match.role(shape: [4, 4]) == role && match.rule.group == group)
    #expect(match.role(shape: [4]) == .vector)
  }

  @Test("layers are counted by stack")
  func layers() {
    let layer = match(AuraFlow.textEncoder, "enc.blk.11.ffn_down.weight").layer
    #expect(layer?.stack == "enc.blk" && layer?.number == 11)
    #expect(match(AuraFlow.textEncoder, "token_embd.weight").layer == nil)
  }

  @Test("attention of autoencoders is a matrix in folders and a convolution elsewhere")
  func shapes() {
    let rule = match(AuraFlow.autoencoder, "decoder.mid.attn_1.q.weight").rule
    #expect(rule.shape.shape(of: [8, 8], inFolder: false) == [8, 8, 1, 1])
    #expect(rule.shape.shape(of: [8, 8, 1, 1], inFolder: true) == [8, 8])
    let table = match(AuraFlow.transformer, "positional_encoding").rule
    #expect(table.shape.shape(of: [16, 8], inFolder: true) == [1, 16, 8])
  }
}
