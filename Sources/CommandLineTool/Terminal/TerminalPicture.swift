import Foundation
import TextToImage

/// A picture as escape sequences of a terminal.
package struct TerminalPicture {
  /// What terminals understand.
  package enum Kind: String, CaseIterable {
    /// kitty's graphics protocol: also Ghostty and Konsole.
    case kitty
    /// iTerm2's inline images: also WezTerm and mintty.
    case iterm2
    /// DEC's sixels: foot, mlterm, contour, xterm with `-ti vt340`, Windows Terminal.
    case sixel
  }

  /// The variable that names the kind where it cannot be told.
  package static let variable = "AURAFLOW_TERMINAL_PICTURES"

  private let kind: Kind

  /// For terminals of a kind.
  package init(_ kind: Kind) { self.kind = kind }

  /// The kind that a terminal understands, told by the variables that it sets.
  ///
  /// - Parameter environment: the value of a variable.
  /// - Returns: nil if that is not known.
  package static func kind(environment: (String) -> String?) -> Kind? {
    if let named = environment(variable) { return Kind(rawValue: named.lowercased()) }
    let (terminal, program) = (environment("TERM") ?? "", environment("TERM_PROGRAM") ?? "")
    if terminal.contains("kitty") || terminal.contains("ghostty") || program == "ghostty"
      || environment("KITTY_WINDOW_ID") != nil || environment("KONSOLE_VERSION") != nil
    {
      return .kitty
    }
    if ["iTerm.app", "WezTerm", "mintty"].contains(program) { return .iterm2 }
    let sixels = ["foot", "mlterm", "contour", "sixel", "yaft"]
    return sixels.contains { terminal.contains($0) } ? .sixel : nil
  }

  /// What to write so that a picture appears at the cursor.
  ///
  /// - Parameter image: the picture.
  /// - Returns: escape sequences; none if it cannot be encoded.
  package func text(of image: RGBImage) -> String {
    switch kind {
    case .kitty: kittyText(image)
    case .iterm2: itermText(image)
    case .sixel: sixelText(image)
    }
  }

  /// In pieces of at most 4096 characters, without answers of the terminal.
  private func kittyText(_ image: RGBImage) -> String {
    guard let bytes = try? image.pngData() else { return "" }
    let text = Array(Data(bytes).base64EncodedString().utf8)
    var result = ""
    for first in stride(from: 0, to: text.count, by: 4096) {
      let piece = text[first..<min(text.count, first + 4096)]
      let more = first + 4096 < text.count ? 1 : 0
      let keys = first == 0 ? "a=T,f=100,q=2,m=\(more)" : "m=\(more)"
      result += "\u{1B}_G\(keys);\(String(decoding: piece, as: UTF8.self))\u{1B}\\"
    }
    return result
  }

  private func itermText(_ image: RGBImage) -> String {
    guard let bytes = try? image.pngData() else { return "" }
    return "\u{1B}]1337;File=inline=1;size=\(bytes.count):"
      + Data(bytes).base64EncodedString() + "\u{7}"
  }

  /// In the 216 colors of a cube of six levels, with ordered dithering.
  private func sixelText(_ image: RGBImage) -> String {
    var result = "\u{1B}Pq\"1;1;\(image.width);\(image.height)"
    for color in 0..<216 {
      let levels = [color / 36, color / 6 % 6, color % 6].map { "\($0 * 20)" }
      result += "#\(color);2;" + levels.joined(separator: ";")
    }
    for top in stride(from: 0, to: image.height, by: 6) {
      // Of each color that occurs in these six rows, which of them it takes in each column.
      var bands: [Int: [UInt8]] = [:]
      for row in top..<min(image.height, top + 6) {
        for column in 0..<image.width {
          bands[
            color(image, row, column), default: [UInt8](repeating: 0, count: image.width)
          ][column] |= 1 << UInt8(row - top)
        }
      }
      for (color, band) in bands.sorted(by: { $0.key < $1.key }) {
        result += "#\(color)" + Self.runs(band) + "$"
      }
      result += "-"
    }
    return result + "\u{1B}\\"
  }

  private func color(_ image: RGBImage, _ row: Int, _ column: Int) -> Int {
    let thresholds = [0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5]
    let threshold = thresholds[row % 4 * 4 + column % 4] * 16 + 8
    let first = 3 * (row * image.width + column)
    return (0..<3).reduce(0) { color, channel in
      // Five steps between 0 and 255; the threshold decides what becomes of the rest.
      let scaled = Int(image.pixels[first + channel]) * 5
      return color * 6 + min(5, scaled / 255 + (scaled % 255 > threshold ? 1 : 0))
    }
  }

  /// Sixels with runs of four and more as a count.
  private static func runs(_ band: [UInt8]) -> String {
    var result = ""
    var index = 0
    while index < band.count {
      var end = index
      while end < band.count, band[end] == band[index] { end += 1 }
      let sixel = String(UnicodeScalar(63 + band[index]))
      result +=
        end - index > 3 ? "!\(end - index)\(sixel)" : String(repeating: sixel, count: end - index)
      index = end
    }
    return result
  }
}
