import ArgumentParser
import Foundation
import ModelFiles

/// What is done to the arguments before they are parsed.
enum CommandLineArguments {
  /// Options whose value may be any text, under all their names.
  private static let textOptions = [
    "--prompt": "--prompt", "-p": "--prompt", "--negative-prompt": "--negative-prompt",
    "-n": "--negative-prompt",
  ]

  /// The arguments after the program's name. Swift's own list repairs what is not UTF-8, so that
  /// files of such names could not be found.
  static func fromSystem() -> [String] {
    (1..<max(1, Int(CommandLine.argc))).compactMap { index in
      CommandLine.unsafeArgv[index].map { argument in
        let bytes = UnsafeRawBufferPointer(start: argument, count: strlen(argument))
        return FilePaths.text(bytes)
      }
    }
  }

  /// Whether results, and so errors, are to be JSON. Told before the arguments are parsed, since
  /// that may fail already.
  static func asksForJSON(_ arguments: [String]) -> Bool {
    var rest = arguments[...]
    while let argument = rest.popFirst(), argument != "--" {
      if argument == "--json" { return true }
      if textOptions[argument] != nil { _ = rest.popFirst() }
    }
    return false
  }

  /// The arguments as the parser takes them.
  ///
  /// A prompt of two dashes is joined to its option: alone, the parser takes it for the end of the
  /// options, though it takes every other text that begins with dashes.
  ///
  /// - Throws: `ValidationError` for a prompt that is not text.
  static func prepared(_ arguments: [String]) throws(ValidationError) -> [String] {
    var result: [String] = []
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      if argument == "--" { return result + [argument] + rest }
      if let equals = argument.utf8.firstIndex(of: UInt8(ascii: "=")),
        let option = textOptions[String(argument[..<equals])]
      {
        let value = String(argument[argument.utf8.index(after: equals)...])
        result.append("\(option)=\(try text(value, of: option))")
        continue
      }
      guard let option = textOptions[argument], let value = rest.popFirst() else {
        result.append(argument)
        continue
      }
      result += value == "--" ? ["\(option)=--"] : [argument, try text(value, of: option)]
    }
    return result
  }

  /// A value that is not a path: bytes that are not text have no meaning in it.
  private static func text(_ value: String, of option: String) throws(ValidationError) -> String {
    guard let text = String(validating: FilePaths.bytes(value), as: UTF8.self) else {
      throw ValidationError("the \(option.dropFirst(2).replacing("-", with: " ")) is not UTF-8")
    }
    return text
  }
}
