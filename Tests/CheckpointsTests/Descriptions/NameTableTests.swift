import AuraFlowFamily
import Checkpoints
import ModelCatalog
import ModelFiles
import TestSupport
import Testing

@Suite("Names of all networks in all namings")
struct NameTableTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Every pair of a place and one of its networks' namings.
  private static let namings = AuraFlow.family.slots.flatMap { slot in
    slot.networks.flatMap { network in network.tables.map { (slot, network, $0) } }
  }

  /// Our names of a table, with numbers in place of patterns.
  private func names(_ table: NameTable, _ numbers: Range<Int>) -> [String] {
    let names = table.rules.flatMap { rule in
      numbers.map { number in
        rule.canonical.map { $0 == "{i}" ? "\(number)" : $0 == "{j}" ? "1" : $0 }
          .joined(separator: ".")
      }
    }
    var seen: Set<String> = []
    return names.filter { seen.insert($0).inserted }
  }

  @Test("every foreign name of every naming leads back to ours, behind a prefix too")
  func roundTrips() throws {
    for (slot, network, table) in Self.namings {
      for prefix in network.prefixes ?? ["", "some.prefix."] {
        // Layers of tiny decoders are numbered from 1.
        let numbers = network.prefixes == nil ? 0..<3 : 1..<4
        let ours = names(table, numbers)
        let foreign = ours.flatMap { name in
          let stored = table.foreign(of: name, levels: numbers.count)
          // As many as the parts of what they are parts of.
          #expect(stored.count == stored.first.map { $0.rowOrder.partCount }, "\(name)")
          return stored.map { prefix + $0.name }
        }
        let path = try folder.write(
          RawSafetensors.encode(foreign.map { .init($0, .f32, [1]) }), to: "names.safetensors")
        var hints = ArchitectureHints()
        hints.allowsExtraTensors = true
        let weights = try PartSource(slot, path: path, hints: hints).weights
        #expect(weights.location.scheme == table.scheme && weights.location.prefix == prefix)
        #expect(weights.network.id == network.id)
        let missing = ours.filter { !weights.has($0) }
        #expect(missing.isEmpty, "\(network.id), \(table.scheme), '\(prefix)'")
      }
    }
  }

  @Test("names of importance matrices are known in every naming of what is quantized")
  func canonicalNames() throws {
    for (_, network, table) in Self.namings where network.convention != nil {
      for name in names(table, 0..<2) {
        let foreign = table.foreign(of: name, levels: 0)
        #expect(!foreign.isEmpty, "\(name)")
        for (stored, _) in foreign {
          #expect(FamilyCatalog.known.canonicalNames("model." + stored).contains(name))
        }
      }
    }
    #expect(FamilyCatalog.known.canonicalNames("decoder.conv_in.weight").isEmpty)
  }

  @Test("only the final modulation has its halves swapped in folders")
  func rowOrder() {
    let network = AuraFlow.transformer.networks[0]
    func rowOrders(_ name: String) -> [NameRule.RowOrder] {
      network.inFolder(name).map(\.rowOrder)
    }
    #expect(rowOrders("modF.1.weight") == [.halvesSwapped])
    #expect(rowOrders("final_linear.weight") == [.asStored])
    #expect(rowOrders("no.such.name") == [.asStored])
    #expect(network.inFolder("no.such.name").map(\.name) == ["no.such.name"])
  }

  @Test("rows are divided among several tensors only where they come out even")
  func shares() {
    let rules = NameRule.parts("layer.{i}.a", ["b.{i}", "c.{i}"], shares: [1, 4])
    let table = NameTable(scheme: "", rules: rules.reversed())
    let stored = table.foreign(of: "layer.2.a", levels: 0)
    #expect(stored.map(\.name) == ["b.2", "c.2"])
    #expect(stored.map { $0.rowOrder.rows(of: 10) } == [[0..<2], [2..<10]])
    #expect(stored.allSatisfy { $0.rowOrder.rows(of: 12) == nil })
    #expect(NameRule.RowOrder.halvesSwapped.rows(of: 6) == [3..<6, 0..<3])
    #expect(NameRule.RowOrder.halvesSwapped.rows(of: 7) == nil)
    #expect(NameRule.RowOrder.part(5, shares: [1, 1]).rows(of: 4) == nil)
    #expect(table.foreign(of: "layer.2.b", levels: 0).isEmpty)
  }
}
