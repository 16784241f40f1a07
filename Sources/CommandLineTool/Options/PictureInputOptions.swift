import ArgumentParser
import Foundation
import ModelFiles
import TextToImage

/// A picture to start from.
struct PictureInputOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("i")], parsing: .unconditional,
    help: ArgumentHelp(
      "Start from this picture (PNG of any kind; transparency, color profile and EXIF do not count).",
      valueName: "file"), completion: .file(extensions: ["png"]))
  var initImage: String?

  @Option(
    name: [.long, .customLong("denoising-strength")], parsing: .unconditional,
    help: ArgumentHelp(
      "How much of the picture may change: the share of the steps that are made, above 0 and up to 1 "
        + "(0.6 if not given).", valueName: "share"))
  var strength: Double?

  @Option(
    name: [.long, .customLong("mask-image")], parsing: .unconditional,
    help: ArgumentHelp(
      "Repaint only what is white in this picture (PNG), which has the shape of --init-image.",
      valueName: "file"), completion: .file(extensions: ["png"]))
  var mask: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "How picture and mask get the result's size: stretch (default); fill, cut off beyond it; fit, "
        + "the edges repeated around it.", valueName: "way"))
  var resize: ResizeMode?

  @Flag(
    name: [.long],
    help: "Put the picture's own pixels back where --mask is black, exactly.")
  var keepUnmasked = false

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Width of the soft seam inside of what is repainted, with --keep-unmasked (4 if not given).",
      valueName: "pixels"))
  var maskBlur: Int?

  @OptionGroup var encoder: EncoderOptions

  /// Refuses options that need others.
  func expectComplete() throws {
    let needing = [
      ("--strength", strength != nil), ("--mask", mask != nil), ("--resize", resize != nil),
      ("--keep-unmasked", keepUnmasked), ("--mask-blur", maskBlur != nil),
      ("--vae-encoder", encoder.vaeEncoder != nil),
    ]
    if initImage == nil, let option = needing.first(where: \.1)?.0 {
      throw ValidationError("\(option) is for --init-image")
    }
    if keepUnmasked, mask == nil { throw ValidationError("--keep-unmasked is for --mask") }
    if maskBlur != nil, !keepUnmasked {
      throw ValidationError("--mask-blur is for --keep-unmasked")
    }
  }

  mutating func validate() throws {
    if let strength, !(strength > 0 && strength <= 1) {
      throw ValidationError("--strength \(strength) is not above 0 and up to 1")
    }
    if let maskBlur, !(0...StartPicture.maximumMaskBlur).contains(maskBlur) {
      throw ValidationError(
        "--mask-blur \(maskBlur) is outside of 0...\(StartPicture.maximumMaskBlur)")
    }
  }

  /// The same with what a picture's file says, where nothing else was named.
  ///
  /// - Throws: `ModelFileError` if a file that took part is not there, or is another one.
  func completed(by recorded: RecordedPicture?) throws -> PictureInputOptions {
    var options = self
    if let recorded {
      func file(_ option: String, _ given: String?) throws -> String? {
        try recorded.inputs(option, given: [given].compactMap { $0 }).first
      }
      options.initImage = try file("init-image", initImage)
      options.mask = try file("mask", mask)
      options.encoder.vaeEncoder = try file("vae-encoder", encoder.vaeEncoder)
      let start = options.initImage == nil ? nil : recorded.start
      options.strength = strength ?? start?.strength
      options.resize = resize ?? start?.resize
      let isMasked = options.mask != nil
      options.keepUnmasked = keepUnmasked || isMasked && start?.keepsUnmasked == true
      options.maskBlur = maskBlur ?? (options.keepUnmasked ? start?.maskBlur : nil)
    }
    return options
  }

  /// The same with what a line of a file of prompts says; a picture of its own brings no mask of
  /// another one.
  ///
  /// - Throws: `ValidationError` for what needs something else.
  func completed(by line: PromptLine) throws -> PictureInputOptions {
    var options = self
    if let picture = line.initImage {
      options.initImage = picture
      if line.mask == nil {
        (options.mask, options.keepUnmasked, options.maskBlur) = (nil, false, nil)
      }
    }
    options.mask = line.mask ?? options.mask
    options.strength = line.strength ?? options.strength
    try options.validate()
    // Options of the run may be for other lines.
    if options.initImage == nil, line.mask != nil || line.strength != nil {
      throw ValidationError("\(line.mask != nil ? "mask" : "strength") is for initImage")
    }
    return options
  }

  /// The files that are read, by the options that name them.
  var inputs: [(option: String, path: String)] {
    [("init-image", initImage), ("mask", mask), ("vae-encoder", encoder.vaeEncoder)].compactMap {
      option, path in path.map { (option, $0) }
    }
  }

  /// The files that are read.
  var files: [String] { [initImage, mask, encoder.vaeEncoder].compactMap { $0 } }

  /// The picture; nil if none is named.
  ///
  /// - Parameter console: where to say what of files does not count; nil to say nothing.
  /// - Returns: the picture with all that the options say of it.
  /// - Throws: `ModelFileError` if a file cannot be read or is no PNG picture within the limits.
  func start(_ console: Console?) throws -> StartPicture? {
    guard let initImage else { return nil }
    var start = StartPicture(try PictureFile.read(path: initImage, console))
    start.strength = strength ?? start.strength
    start.mask = try mask.map { try PictureFile.read(path: $0, console) }
    start.resize = resize ?? start.resize
    start.keepsUnmasked = keepUnmasked
    start.maskBlur = maskBlur ?? start.maskBlur
    return start
  }
}

/// What makes latents of pictures.
struct EncoderOptions: ParsableArguments {
  @Option(
    name: [.long, .customLong("tae-encoder")], parsing: .unconditional,
    help: ArgumentHelp(
      "The encoder of pictures, where --vae or --tae is a decoder alone: AutoencoderKL, or a tiny "
        + "encoder.", valueName: "path"), completion: .file())
  var vaeEncoder: String?
}

extension ResizeMode: ExpressibleByArgument {}

/// PNG pictures that somebody else made.
enum PictureFile {
  /// Largest file, in bytes: more than a picture of the most pixels needs in 24 bits.
  private static let maximumByteCount = 256 << 20

  /// Reads a picture.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - console: where to say what of it does not count; nil to say nothing.
  /// - Returns: its pixels.
  /// - Throws: `ModelFileError` if the file cannot be read or is no PNG picture within the limits.
  static func read(path: String, _ console: Console?) throws(ModelFileError) -> RGBImage {
    let descriptor = try open(path)
    defer { close(descriptor) }
    var bytes = try read(descriptor, path, atMost: PNGHeader.byteCount)
    // Sizes are judged before the rest is read.
    try checking(path) { () throws(PNGError) in
      try PNGHeader(bytes).expectPixels(atMost: PNGPicture.maximumPixels)
    }
    bytes += try read(descriptor, path, atMost: maximumByteCount + 1 - bytes.count)
    guard bytes.count <= maximumByteCount else {
      throw ModelFileError(
        path: path, kind: .malformed, fault: "has more than \(maximumByteCount >> 20) MiB")
    }
    let picture = try checking(path) { () throws(PNGError) in try PNGPicture(bytes) }
    for note in picture.notes { console?.note("\(path): \(note)") }
    return picture.image
  }

  /// A file's bytes, whatever they are.
  ///
  /// - Throws: `ModelFileError` if it cannot be read or is too large for a picture.
  static func bytes(path: String) throws(ModelFileError) -> [UInt8] {
    let descriptor = try open(path)
    defer { close(descriptor) }
    let bytes = try read(descriptor, path, atMost: maximumByteCount + 1)
    guard bytes.count <= maximumByteCount else {
      throw ModelFileError(
        path: path, kind: .malformed, fault: "has more than \(maximumByteCount >> 20) MiB")
    }
    return bytes
  }

  private static func open(_ path: String) throws(ModelFileError) -> Int32 {
    let descriptor = FileSystem.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      let isMissing = errno == ENOENT || errno == ENOTDIR
      throw ModelFileError(
        path: path, kind: isMissing ? .notFound : .unreadable,
        fault: String(cString: strerror(errno)))
    }
    return descriptor
  }

  /// Names the file in errors.
  private static func checking<Value>(
    _ path: String, _ body: () throws(PNGError) -> Value
  ) throws(ModelFileError) -> Value {
    do throws(PNGError) {
      return try body()
    } catch {
      throw ModelFileError(path: path, kind: .malformed, fault: error.description)
    }
  }

  /// Some bytes, fewer only at the end of the file.
  private static func read(
    _ descriptor: Int32, _ path: String, atMost count: Int
  ) throws(ModelFileError) -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: min(count, 1 << 16))
    while bytes.count < count {
      let read = Foundation.read(descriptor, &buffer, min(buffer.count, count - bytes.count))
      if read < 0 && errno == EINTR { continue }
      guard read >= 0 else {
        throw ModelFileError(
          path: path, kind: .unreadable, fault: String(cString: strerror(errno)))
      }
      if read == 0 { break }
      bytes += buffer[..<read]
    }
    return bytes
  }
}
