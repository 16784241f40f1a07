import Checkpoints
import ModelCatalog
import Testing

@Suite("Names of T5 text encoders")
struct T5NamesTests {
  @Test(
    "the table of tokens is known under each of its names and any prefix, other tables are not it",
    arguments: [
      ("token_embd.weight", true), ("shared.weight", true),
      ("text_encoders.t5xl.transformer.encoder.embed_tokens.weight", true),
      ("enc.blk.0.attn_rel_b.weight", false), ("enc.blk.0.attn_q.weight", false),
      ("shared.weight.scale", false),
    ])
  func tokenTables(_ name: String, _ isTable: Bool) {
    #expect(FamilyCatalog.known.isTokenTable(name) == isTable)
  }
}
