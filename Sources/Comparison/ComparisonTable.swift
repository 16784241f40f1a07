import Foundation
import Machine

extension ComparisonReport {
  /// The levels as a table for a terminal: medians, and the worst in brackets.
  package var table: String {
    var titles = [
      "level", "size", "bits", "PSNR dB", "SSIM", "MS-SSIM", "FLIP", "latents", "velocity",
      "s/step", "peak memory",
    ]
    let aspects = summaries.compactMap(\.scores).first?.counts.map(\.aspect) ?? []
    titles += aspects
    let rows = summaries.map { summary in
      [
        summary.level.name + (summary.failureCount > 0 ? " (\(summary.failureCount) failed)" : ""),
        formattedBytes(summary.facts.bytes),
        String(format: "%.2f", summary.facts.bitsPerWeight), Self.spread(summary.psnr, "%.1f"),
        Self.spread(summary.ssim, "%.3f", of: summary),
        Self.spread(summary.multiScaleSSIM, "%.3f", of: summary),
        Self.spread(summary.flip, "%.3f"), Self.spread(summary.latentError, "%.4f"),
        Self.spread(summary.velocityError, "%.4f"),
        String(format: "%.3f", summary.secondsPerStep),
        summary.peakBytes.map { formattedBytes($0) } ?? "n/a",
      ]
        + aspects.map { aspect in
          summary.scores?.counts.first { $0.aspect == aspect }
            .map { "\($0.right)/\($0.total)" } ?? ""
        }
    }
    return Self.aligned([titles] + rows)
  }

  /// Median and worst; `summary` is whose pictures may be too small for the measure.
  private static func spread(
    _ spread: Spread?, _ format: String, of summary: LevelSummary? = nil
  ) -> String {
    guard let spread else { return summary?.psnr == nil ? "-" : "n/a" }
    func text(_ value: Double) -> String {
      value.isFinite ? String(format: format, value) : "same"
    }
    let (median, worst) = (text(spread.median), text(spread.worst))
    return median == worst ? median : "\(median) (\(worst))"
  }

  /// Columns as wide as their widest cell; the first to the left, numbers to the right.
  private static func aligned(_ rows: [[String]]) -> String {
    let widths = (rows.first ?? []).indices.map { column in
      rows.map { $0[column].count }.max() ?? 0
    }
    return rows.map { row in
      row.indices.map { column in
        let blanks = String(repeating: " ", count: widths[column] - row[column].count)
        return column == 0 ? row[column] + blanks : blanks + row[column]
      }.joined(separator: "  ")
    }.joined(separator: "\n") + "\n"
  }
}
