import ArgumentParser
import ModelFiles
import TextToImage

/// How much memory to use, and how to get at files.
struct MemoryOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Most memory to have resident, mapped files included: a size such as 2GiB, auto (what the "
        + "machine has to spare) or max. What does not fit is read from the file at each use.",
      valueName: "size"))
  var memory = MemorySetting.auto

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How to get at model files: mmap, or read where mapping is unwanted or the file system slow.",
      valueName: "way"))
  var io = FileAccess.mmap
}

extension FileAccess: ExpressibleByArgument {}

/// `--memory`.
enum MemorySetting: ExpressibleByArgument, CustomStringConvertible {
  case auto
  case max
  case bytes(ByteCount)

  init?(argument: String) {
    switch argument.lowercased() {
    case "auto": self = .auto
    case "max": self = .max
    default:
      guard let bytes = ByteCount(argument: argument) else { return nil }
      self = .bytes(bytes)
    }
  }

  var defaultValueDescription: String { description }

  var description: String {
    switch self {
    case .auto: "auto"
    case .max: "max"
    case .bytes(let count): "\(count.bytes)"
    }
  }

  var budget: MemoryBudget {
    switch self {
    case .auto: .auto
    case .max: .max
    case .bytes(let count): .bytes(count.bytes)
    }
  }
}
