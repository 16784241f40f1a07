import LinearAlgebra
import Machine
import Testing

@Suite("Upper triangles in panels")
struct UpperPanelsTests {
  private static let counts = [0, 1, 255, 256, 257, 600, 768]

  @Test("panels follow each other, and their blocks cover the triangle", arguments: counts)
  func panels(_ columns: Int) throws {
    let triangle = try UpperPanels(columns: columns)
    #expect(triangle.panels.flatMap { Array($0) } == Array(0..<columns))
    #expect(triangle.panels.dropLast().allSatisfy { $0.count == UpperPanels.width })
    var floats = 0
    for (index, panel) in triangle.panels.enumerated() {
      #expect(triangle.panel(index) == triangle.panel(0) + floats)
      floats += panel.upperBound * panel.count
    }
    #expect(UpperPanels.byteCount(columns: columns) == 4 * floats)
  }

  @Test("an element is where its block has it, and nowhere else", arguments: counts)
  func elements(_ columns: Int) throws {
    let triangle = try UpperPanels(columns: columns)
    func each(_ body: (_ row: Int, _ column: Int) -> Bool) -> Bool {
      (0..<columns).allSatisfy { column in (0...column).allSatisfy { body($0, column) } }
    }
    #expect(each { triangle[$0, $1] == 0 })
    for column in 0..<columns {
      for row in 0...column { triangle[row, column] = Float(row * 1000 + column) }
    }
    #expect(each { triangle[$0, $1] == Float($0 * 1000 + $1) })
    for (last, panel) in triangle.panels.enumerated() {
      for (first, rows) in triangle.panels.prefix(last + 1).enumerated() {
        let block = triangle.block(first, last)
        let isRight = rows.enumerated().allSatisfy { place, row in
          panel.enumerated().allSatisfy { offset, column in
            row > column || block[place * panel.count + offset] == Float(row * 1000 + column)
          }
        }
        #expect(isRight, "block \(first) \(last)")
      }
    }
  }

  @Test("sizes that no machine holds are refused")
  func sizes() {
    for columns in [-1, 1 << 24 + 1, .max] {
      #expect(throws: ComputeError.self) { _ = try UpperPanels(columns: columns) }
    }
  }
}
