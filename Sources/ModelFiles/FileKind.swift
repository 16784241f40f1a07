import Foundation

/// What the first bytes of a file say that it is, whatever its name.
enum FileKind: Equatable {
  case gguf
  case safetensors
  /// A text that begins like JSON.
  case json
  /// Nothing that holds tensors in a form that is opened: what it is, and what to do.
  case other(String)
  /// Bytes that tell nothing.
  case unknown

  /// Bytes that are looked at.
  private static let lookedAt = 64 << 10

  init(_ file: MappedFile) {
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes.prefix(Self.lookedAt))
    if bytes.isEmpty {
      self = .other("is empty: download it again")
    } else if bytes.starts(with: "GGUF".utf8) {
      self = .gguf
    } else if Self.looksLikeSafetensors(bytes) {
      self = .safetensors
    } else if let zeros = Self.zeros(bytes, of: file) {
      self = .other(zeros)
    } else if let container = Self.container(bytes) {
      self = .other(container)
    } else if let text = Self.text(bytes) {
      self = text
    } else {
      self = .unknown
    }
  }

  /// A header length, then a JSON object. A length beyond the limit is for the reader to refuse,
  /// but for one that is text itself.
  private static func looksLikeSafetensors(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count > 8, bytes[8] == UInt8(ascii: "{") else { return false }
    return !bytes.prefix(8).allSatisfy { $0 >= 0x09 && $0 < 0x7F }
  }

  private static func zeros(_ bytes: UnsafeRawBufferPointer, of file: MappedFile) -> String? {
    // Eight zeros are a header length of nothing; no format begins so.
    guard bytes.count >= 8, bytes.prefix(4096).allSatisfy({ $0 == 0 }) else { return nil }
    let count = bytes.count < file.size ? "at least the first \(bytes.count)" : "all \(bytes.count)"
    return "holds zeros instead of a model (\(count) bytes): the room was reserved, but the "
      + "download or copy never came; download it again"
  }

  // MARK: Containers

  /// Beginnings of formats that are told by a few bytes.
  private static let magics: [(bytes: [UInt8], kind: String)] = [
    (Array("\u{89}PNG".unicodeScalars.map { UInt8($0.value) }), "is a PNG picture, not a model"),
    ([0xFF, 0xD8, 0xFF], "is a JPEG picture, not a model"),
    (Array("RIFF".utf8), "is a RIFF file (WebP, sound), not a model"),
    ([0x1F, 0x8B], "is compressed by gzip: unpack it with 'gunzip'"),
    (Array("BZh".utf8), "is compressed by bzip2: unpack it with 'bunzip2'"),
    ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "is compressed by xz: unpack it with 'unxz'"),
    ([0x28, 0xB5, 0x2F, 0xFD], "is compressed by zstd: unpack it with 'unzstd'"),
    ([0x37, 0x7A, 0xBC, 0xAF], "is a 7z archive: unpack it"),
    (Array("Rar!".utf8), "is a RAR archive: unpack it"),
    ([0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59], "is a NumPy array, not a model"),
    ([0x89, 0x48, 0x44, 0x46], "is an HDF5 file (Keras): take the safetensors or GGUF version"),
    (Array("%PDF".utf8), "is a PDF document, not a model"),
    ([0x7F, 0x45, 0x4C, 0x46], "is a program, not a model"),
    ([0x4D, 0x5A], "is a Windows program, not a model"),
    (Array("lmgg".utf8), outdated), (Array("fmgg".utf8), outdated), (Array("tjgg".utf8), outdated),
    (Array("ggml".utf8), outdated), (Array("ggmf".utf8), outdated), (Array("ggjt".utf8), outdated),
    (Array("algg".utf8), "is an adapter in ggml's old format: take its safetensors version"),
  ]
  private static let outdated =
    "is in a format that GGUF replaced in 2023: take a GGUF version of the model"

  private static let pickle =
    "is a PyTorch pickle, which can run code when opened: take the safetensors version, or convert "
    + "it to safetensors with its author's tools"

  private static func container(_ bytes: UnsafeRawBufferPointer) -> String? {
    if bytes.starts(with: "PK\u{3}\u{4}".utf8) || bytes.starts(with: "PK\u{5}\u{6}".utf8) {
      // PyTorch's zip begins with an entry called NAME/data.pkl, or one beside it.
      let isTorch = [".pkl", "/version", ".format_version", "/byteorder"].contains {
        bytes.prefix(512).contains(text: $0)
      }
      return isTorch
        ? pickle
        : "is a zip archive: unpack it, or take the safetensors version if it is a PyTorch pickle"
    }
    // Protocol 2 to 5; the opcodes after it are those of an object, a frame, a tuple or a number.
    if bytes.count > 2, bytes[0] == 0x80, (2...5).contains(bytes[1]) { return pickle }
    if bytes.count > 262, bytes[257..<262].elementsEqual("ustar".utf8) {
      return "is a tar archive: unpack it with 'tar xf'"
    }
    return magics.first { bytes.starts(with: $0.bytes) }?.kind
  }

  // MARK: Texts

  /// Kinds of text; nil if the bytes are none.
  private static func text(_ bytes: UnsafeRawBufferPointer) -> FileKind? {
    if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]),
      bytes.prefix(64).dropFirst(2).count(where: { $0 == 0 }) > 8
    {
      return .other("is a text in UTF-16, not a model: download it again")
    }
    var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
    start = start.drop { [0x20, 0x09, 0x0A, 0x0D].contains($0) }
    // Binary files soon have a zero and many other bytes that no text has.
    let beginning = start.prefix(512)
    let strange = beginning.count { $0 < 0x20 && ![0x09, 0x0A, 0x0D].contains($0) || $0 == 0x7F }
    guard !beginning.contains(0), strange * 20 <= beginning.count,
      isText(beginning)
    else { return nil }
    if let first = start.first, [UInt8(ascii: "{"), UInt8(ascii: "[")].contains(first) {
      return .json
    }
    let lines = String(decoding: start.prefix(512), as: UTF8.self)
    let small = lines.lowercased()
    if small.hasPrefix("version https://git-lfs") || small.hasPrefix("version http://git-media") {
      let size = small.split(separator: "\n").first { $0.hasPrefix("size ") }
        .flatMap { UInt64($0.dropFirst(5).trimmingCharacters(in: .whitespaces)) }
      return .other(
        "is a Git LFS pointer, not the model itself"
          + (size.map { " (\(decimalSize($0)))" } ?? "")
          + ": run 'git lfs pull' in its folder, or download the file")
    }
    if ["<!doctype html", "<html", "<head", "<body", "<script"].contains(where: small.hasPrefix) {
      return .other(
        "is a web page\(title(lines)), not a model: what was saved is the page of a link that wants "
          + "a sign-in, a consent or another address; download the file itself")
    }
    if small.hasPrefix("<?xml") || small.hasPrefix("<error") {
      return .other(
        "is an XML text, not a model: probably a server's error message; download it again")
    }
    let line = lines.split(whereSeparator: \.isNewline).first.map { String($0.prefix(60)) } ?? ""
    return .other("is a text that begins with '\(line)', not a model: download it again")
  }

  /// Whether bytes are UTF-8, but for a character that is cut at their end.
  private static func isText(_ bytes: some BidirectionalCollection<UInt8>) -> Bool {
    (0..<4).contains { String(validating: bytes.dropLast($0), as: UTF8.self) != nil }
  }

  private static func title(_ page: String) -> String {
    guard let start = page.range(of: "<title>", options: .caseInsensitive),
      let end = page.range(
        of: "</title>", options: .caseInsensitive, range: start.upperBound..<page.endIndex)
    else { return "" }
    let title = page[start.upperBound..<end.lowerBound].trimmingCharacters(
      in: .whitespacesAndNewlines)
    return title.isEmpty ? "" : " ('\(title.prefix(60))')"
  }
}

extension Sequence<UInt8> {
  /// Whether a text occurs among the bytes.
  fileprivate func contains(text: String) -> Bool {
    String(decoding: Array(self), as: UTF8.self).contains(text)
  }
}

extension MappedFile {
  /// Whether the file begins like GGUF or safetensors.
  package var isModel: Bool { [.gguf, .safetensors].contains(FileKind(self)) }

  /// What the file is instead of a model's, where its first bytes show it: a line without its name.
  package var strangeContent: String? {
    if case .other(let kind) = FileKind(self) { kind } else { nil }
  }
}
