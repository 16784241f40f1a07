import ArgumentParser
import ModelFiles
import TextToImage

/// How much memory to use, and how to get at files.
struct MemoryOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Most memory to have resident, mapped files included: a size such as 2G (1024^3 bytes each; "
        + "2GB has 1000^3), auto (what the machine has to spare) or max. What does not fit is read "
        + "from the file at each use.",
      valueName: "size"), completion: .list(["auto", "max", "2G", "4G", "8G"]),
    transform: MemorySetting.init(argument:))
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
enum MemorySetting: CustomStringConvertible {
  case auto
  case max
  case bytes(ByteCount)

  /// - Throws: `ValidationError` with the forms for anything else.
  init(argument: String) throws(ValidationError) {
    switch argument.lowercased() {
    case "auto": self = .auto
    case "max": self = .max
    default:
      do throws(ValidationError) {
        self = .bytes(try ByteCount(argument: argument))
      } catch {
        throw ValidationError("\(error.message), or auto or max")
      }
    }
  }

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
