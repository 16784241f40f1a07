import TestSupport
import Testing

import Comparison

@Suite("Tables of scores")
struct LevelScoresTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func table(_ text: String) throws -> ScoreTable? {
    try ScoreTable(path: try folder.write(Array(text.utf8), to: "scores.csv"))
  }

  @Test("answers are counted by level and aspect; what does not apply is not")
  func counts() throws {
    let table = try table(
      """
      file,prompt,subject_right,background_right,style_right\r
      images/Q8_0/001-s0.png,"a red, ""big"" apple",1,1,\r
      images/Q8_0/002-s0.png,a cat,0,true,\r
      images/Q2_K/001-s0.png,"two\nlines",1,0,\r
      """)
    let levels = try #require(table?.levels)
    #expect(levels.keys.sorted() == ["Q2_K", "Q8_0"])
    let counts = try #require(levels["Q8_0"]?.counts)
    #expect(counts.map(\.aspect) == ["subject", "background"])
    #expect(counts.map(\.right) == [1, 2] && counts.map(\.total) == [2, 2])
  }

  @Test("without a table there are no scores")
  func absent() throws {
    #expect(try ScoreTable(path: folder.path("scores.csv"))?.levels == nil)
  }

  @Test(
    "other tables are refused",
    arguments: [("a,b\n1,2\n", "no column 'file'"), ("file,x\na\n", "line 2 has 1 columns")])
  func faults(_ text: String, _ message: String) throws {
    #expect {
      try table(text)
    } throws: { "\($0)".contains(message) }
  }
}
