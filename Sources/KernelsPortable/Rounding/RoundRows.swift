// The files of this folder quantize float32 rows to blocks. They are compiled into each target that
// holds kernels for one kind of CPU, so that they use that CPU's registers; as every operation is
// rounded by itself, the blocks are the same in all of them. Vectors are of eight lanes throughout.
//
// Small functions are transparent: what is merely to be inlined often is not in loops as large as
// these, which doubles their time, and calls of the standard library's generic functions would be
// code that targets for different CPUs share.
import BlockFormats
import KernelInterface

/// Quantization to blocks, in each format that floats can be quantized to.
///
/// The files of this folder give each of those formats its `roundRows`, most through one of the
/// protocols `DirectRounding`, `SearchedRounding`, `AffineRounding` and `ScaledRounding`.
protocol RowRounding {
  /// Whether there is a `roundRows`.
  static var hasRounding: Bool { get }

  /// See `KernelSet.roundRows`.
  static func roundRows(_ rows: RowsToRound)

  /// What codes stand for; integers from 0 in formats with minimums.
  static var panelLevels: Levels { get }
  /// How the groups of a panel store their scales.
  static var panelScales: PanelScales { get }
  /// See `PanelKernels.round`.
  static func roundPanel(_ panel: PanelToRound)
  /// See `PanelKernels.pack`.
  static func packPanel(_ panel: PanelToRound)
}

extension RowRounding {
  static var hasRounding: Bool { false }

  static func roundRows(_ rows: RowsToRound) {
    preconditionFailure("no quantizer for this type")
  }

  static var panelLevels: Levels { .integers(least: 0, top: 0) }

  static var panelScales: PanelScales { .own(hasOffset: false) }

  static func roundPanel(_ panel: PanelToRound) {
    preconditionFailure("no quantizer for this type")
  }

  static func packPanel(_ panel: PanelToRound) {
    preconditionFailure("no quantizer for this type")
  }
}

/// See `KernelSet.panels`.
let panelKernels = PanelKernels(
  round: { format(of: $0).roundPanel($0.pointee) },
  descend: { arguments in
    let format = format(of: arguments)
    let panel = Panel(arguments.pointee, width: format.groupWidth)
    panel.descend(levels: format.panelLevels)
    if arguments.pointee.descendsScales {
      panel.descendScales(format.panelScales, levels: format.panelLevels)
    }
  },
  pack: { format(of: $0).packPanel($0.pointee) })

private func format(of panel: UnsafePointer<PanelToRound>) -> any CodedFormat.Type {
  guard let number = panel.pointee.type.ggufID, let format = codedFormat(ggmlType: number) else {
    preconditionFailure("no quantizer for this type")
  }
  return format
}

/// See `KernelSet.roundRows`.
func roundRows(_ arguments: UnsafePointer<RowsToRound>) {
  let rows = arguments.pointee
  let count = rows.rows &* rows.columns
  switch rows.type {
  case .f32: rows.blocks.copyMemory(from: rows.values, byteCount: 4 &* count)
  case .f16: roundToFloat16(rows.values, count: count, into: rows.blocks)
  case .bf16: roundToBFloat16(rows.values, count: count, into: rows.blocks)
  default:
    guard let number = rows.type.ggufID, let format = codedFormat(ggmlType: number) else {
      preconditionFailure("no quantizer for this type")
    }
    format.roundRows(rows)
  }
}

/// Whether `roundRows` makes a type.
package func hasRounding(_ type: ElementType) -> Bool {
  switch type {
  case .f32, .f16, .bf16: true
  default:
    if let number = type.ggufID, let format = codedFormat(ggmlType: number) {
      format.hasRounding
    } else {
      false
    }
  }
}
