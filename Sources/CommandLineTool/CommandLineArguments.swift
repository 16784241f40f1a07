/// What is done to the arguments before they are parsed.
enum CommandLineArguments {
  /// Options whose value may be any text, under all their names.
  private static let textOptions = [
    "--prompt": "--prompt", "-p": "--prompt", "--negative-prompt": "--negative-prompt",
    "-n": "--negative-prompt",
  ]

  /// Joins a prompt of two dashes to its option: alone, the parser takes it for the end of the
  /// options, though it takes every other text that begins with dashes.
  static func joiningDashes(_ arguments: [String]) -> [String] {
    var result: [String] = []
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      if argument == "--" { return result + [argument] + rest }
      guard let option = textOptions[argument], let value = rest.popFirst() else {
        result.append(argument)
        continue
      }
      result += value == "--" ? ["\(option)=--"] : [argument, value]
    }
    return result
  }
}
