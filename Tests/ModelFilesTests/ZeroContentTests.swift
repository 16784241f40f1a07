import ModelFiles
import TestSupport
import Testing

@Suite("Zeros that stand where weights should be")
struct ZeroContentTests {
  /// A file of some size, and its tensors: name, shape, place, and where its content ends.
  private func findings(
    _ tensors: [(name: String, shape: [Int], range: Range<Int>, end: Int?)],
    areTokenTables: Bool = false
  ) throws -> [String] {
    let folder = try TemporaryFolder()
    let file = try MappedFile(path: folder.write(Array(repeating: 0, count: 9000), to: "f"))
    let contents = tensors.map {
      StoredContent(
        file, name: $0.name, shape: $0.shape, isTokenTable: areTokenTables, range: $0.range,
        end: $0.end)
    }
    return ZeroContent.findings(contents).map { "\($0.tensor ?? "end"): \($0.fault)" }
  }

  private let matrix = [32, 32]

  @Test("a matrix that is zero throughout is told, a vector is not")
  func matrices() throws {
    let found = try findings([
      ("zero", matrix, 0..<2000, nil), ("bias", [1000], 2000..<4000, nil),
      ("row", [1, 1000], 4000..<6000, nil), ("last", matrix, 6000..<8000, 8000),
    ])
    #expect(found.count == 1 && found.first?.hasPrefix("zero: is zero throughout") == true)
  }

  @Test("a matrix that was read in pieces is one matrix")
  func pieces() throws {
    let halves = try findings([
      ("a", matrix, 1000..<2000, 2000), ("a", matrix, 0..<1000, nil),
      ("b", matrix, 2000..<4000, 4000),
    ])
    #expect(halves.isEmpty)
    let zero = try findings([
      ("a", matrix, 1000..<2000, nil), ("a", matrix, 0..<1000, nil),
      ("b", matrix, 2000..<4000, 4000),
    ])
    #expect(zero.count == 1 && zero.first?.hasPrefix("a: is zero throughout") == true)
    let tail = try findings([("a", matrix, 0..<1000, 500), ("a", matrix, 1000..<2000, nil)])
    #expect(tail.first?.contains("from byte 500 of 9000 on, inside of tensor 'a'") == true)
  }

  @Test("a tail that begins inside of a matrix is told with its byte")
  func tails() throws {
    let found = try findings([
      ("first", matrix, 0..<2000, 1000), ("bias", [1000], 2000..<4000, nil),
      ("second", matrix, 4000..<6000, nil),
    ])
    #expect(found.count == 1)
    #expect(found.first?.contains("from byte 1000 of 9000 on, inside of tensor 'first'") == true)
    #expect(found.first?.contains("2 tensors after it") == true)
  }

  @Test("a tail that begins before a matrix is told; the order of the list does not matter")
  func tailBeforeMatrix() throws {
    let found = try findings([
      ("second", matrix, 4000..<6000, nil), ("first", matrix, 0..<2000, 2000),
      ("bias", [1000], 2000..<4000, 3000),
    ])
    #expect(found.count == 1)
    #expect(found.first?.contains("byte 3000 of 9000 on, inside of tensor 'bias'") == true)
  }

  @Test("zeros at the end of a file that are few, or in vectors only, are none")
  func innocent() throws {
    #expect(try findings([("last", matrix, 0..<2000, 1990)]).isEmpty)
    #expect(
      try findings([("last", matrix, 0..<2000, 1998), ("bias", [1000], 2000..<4000, nil)]).isEmpty)
    #expect(try findings([]).isEmpty)
  }

  @Test(
    "rows of zeros at the end of a table of tokens are padding, unless they begin inside of one")
  func padding() throws {
    func found(_ end: Int, isTable: Bool = true) throws -> [String] {
      try findings([("a", [20, 50], 0..<2000, end)], areTokenTables: isTable)
    }
    #expect(try found(1000).first?.contains("ends in rows of zeros") == true)
    #expect(try found(998).first?.contains("ends in rows of zeros") == true)
    #expect(try found(1040).first?.contains("nothing but zeros") == true)
    #expect(try found(1000, isTable: false).first?.contains("nothing but zeros") == true)
    #expect(try found(0).first?.contains("nothing but zeros") == true)
  }

  @Test("what does not reach the end of a file's tensors is no tail")
  func unreadRest() throws {
    let folder = try TemporaryFolder()
    let file = try MappedFile(path: folder.write(Array(repeating: 0, count: 9000), to: "f"))
    let content = StoredContent(file, name: "a", shape: matrix, range: 0..<2000, end: 1000)
    #expect(ZeroContent.findings([content], contentEnd: { _ in 2000 }).count == 1)
    #expect(ZeroContent.findings([content], contentEnd: { _ in 2001 }).isEmpty)
  }

  @Test(
    "the last byte that is not zero is found at every place", arguments: [0, 1, 63, 64, 65, 300])
  func lastByte(_ place: Int) {
    var bytes = [UInt8](repeating: 0, count: 301)
    #expect(bytes.withUnsafeBytes { ZeroContent.end(of: $0) } == 0)
    bytes[place] = 1
    #expect(bytes.withUnsafeBytes { ZeroContent.end(of: $0) } == place + 1)
    #expect(ZeroContent.end(of: UnsafeRawBufferPointer(start: nil, count: 0)) == 0)
  }
}
