import CommandLineTool
import Foundation
import Images
import TestSupport
import Testing

@Suite("auraflow generate --preview")
struct PreviewTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let model = Fixtures.checkout.appendingPathComponent(
    "models/auraflow-icons.gguf"
  ).path

  private func run(_ arguments: String...) throws -> CommandLine.Outcome {
    try CommandLine.run(
      ["generate", "-p", "a red apple on a blue background", "--steps", "8"] + arguments,
      in: folder.url)
  }

  private func image(_ name: String) throws -> RGBImage {
    try RGBImage(
      pngData: [UInt8](try Data(contentsOf: folder.url.appendingPathComponent(name))))
  }

  @Test("the last preview shows the picture, which is what it is without previews")
  func last() throws {
    #expect(try run("-o", "plain.png").status == 0)
    #expect(try run("-o", "a.png", "--preview", "colors.png").status == 0)
    #expect(
      try run(
        "-o", "b.png", "--preview", "decoded.png", "--preview-every", "5", "--preview-decoder",
        Self.model
      ).status == 0)
    let picture = try image("plain.png")
    #expect(try image("a.png") == picture && image("b.png") == picture)
    // The last prediction leads to the last latents.
    #expect(try image("decoded.png") == picture)
    let colors = try image("colors.png")
    #expect(colors.width == picture.width && colors.height == picture.height)
    let squares = zip(colors.pixels, picture.pixels).map { left, right in
      (Double(left) - Double(right)) * (Double(left) - Double(right))
    }
    let noise = 10 * log10(255 * 255 / (squares.reduce(0, +) / Double(squares.count)))
    #expect(noise > 16, "\(noise) dB")
  }

  @Test(
    "wrong use is explained",
    arguments: [
      (["--preview-every", "2"], 64, "are for --preview"),
      (["--preview", "a.jpg"], 64, "ending in .png"),
      (["--preview", "a.png", "--preview-every", "0"], 64, "outside of 1...10000"),
      (["--preview", "out.png"], 64, "named for two outputs"),
      (["--preview-terminal"], 64, "is not a terminal"),
      (["--preview", "a.png", "--preview-decoder", "none.gguf"], 66, "none.gguf"),
    ])
  func faults(_ arguments: [String], _ status: Int32, _ message: String) throws {
    let outcome = try CommandLine.run(
      ["generate", "-p", "x", "-o", "out.png"] + arguments, in: folder.url)
    #expect(outcome.status == status && outcome.errors.contains(message), "\(outcome.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }
}

@Suite("Pictures in terminals")
struct TerminalPictureTests {
  private let image = RGBImage(
    width: 40, height: 13,
    pixels: (0..<3 * 40 * 13).map { (index: Int) -> UInt8 in UInt8(index * 37 % 256) })

  @Test("kinds are told by what terminals set")
  func kinds() {
    func kind(_ variables: [String: String]) -> TerminalPicture.Kind? {
      TerminalPicture.kind { variables[$0] }
    }
    #expect(kind(["TERM": "xterm-kitty"]) == .kitty && kind(["TERM": "xterm-ghostty"]) == .kitty)
    #expect(kind(["TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"]) == .iterm2)
    #expect(kind(["TERM": "foot"]) == .sixel && kind(["TERM": "xterm-256color"]) == nil)
    #expect(kind(["TERM": "xterm", "AURAFLOW_TERMINAL_PICTURES": "SIXEL"]) == .sixel)
    #expect(kind(["TERM": "xterm-kitty", "AURAFLOW_TERMINAL_PICTURES": "none"]) == nil)
  }

  @Test("kitty gets the PNG in pieces, iTerm2 in one")
  func files() throws {
    let values = (0..<3 * 64 * 64).map { (index: Int) -> UInt8 in UInt8(index * index / 7 % 251) }
    let large = RGBImage(width: 64, height: 64, pixels: values)
    let pieces = TerminalPicture(.kitty).text(of: large).components(separatedBy: "\u{1B}\\")
    #expect(pieces.count > 2 && pieces.last == "")
    var text = ""
    for (index, piece) in pieces.dropLast().enumerated() {
      #expect(piece.hasPrefix("\u{1B}_G"))
      let parts = piece.split(separator: ";")
      #expect(parts[1].count <= 4096)
      #expect(parts[0].contains("m=\(index + 2 < pieces.count ? 1 : 0)"))
      text += parts[1]
    }
    let data = try #require(Data(base64Encoded: text))
    #expect(try RGBImage(pngData: [UInt8](data)) == large)
    let inline = TerminalPicture(.iterm2).text(of: large)
    #expect(inline.hasSuffix(text + "\u{7}"))
  }

  @Test("sixels decode to the picture within the steps of six levels")
  func sixels() throws {
    let text = TerminalPicture(.sixel).text(of: image)
    var pixels = [Int](repeating: -1, count: 40 * 13)
    var (color, top, column, digits, isCount) = (0, 0, 0, "", false)
    let start = try #require(text.range(of: "#215;2;100;100;100"))
    for character in text[start.upperBound...].prefix(while: { $0 != "\u{1B}" }) {
      if character.isNumber {
        digits.append(character)
        continue
      }
      if !isCount, let number = Int(digits) { color = number }
      switch character {
      case "#": digits = ""
      case "!": (digits, isCount) = ("", true)
      case "$": column = 0
      case "-": (top, column) = (top + 6, 0)
      default:
        let bits = Int(try #require(character.asciiValue)) - 63
        for _ in 0..<(isCount ? Int(digits) ?? 1 : 1) {
          for row in 0..<6 where bits >> row & 1 == 1 { pixels[(top + row) * 40 + column] = color }
          column += 1
        }
        isCount = false
      }
      if character != "#", character != "!" { digits = "" }
    }
    for (index, color) in pixels.enumerated() {
      #expect(color >= 0)
      for (channel, level) in [color / 36, color / 6 % 6, color % 6].enumerated() {
        #expect(abs(level * 51 - Int(image.pixels[3 * index + channel])) <= 51)
      }
    }
  }
}
