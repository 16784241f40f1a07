import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import TextToImage
import Testing

@Suite(
  "memory budgets", .serialized,
  .disabled(if: Sanitizer.isActive, "a sanitizer takes several times the memory that is planned"))
struct MemoryTests {
  private func generate(
    _ arguments: [String], in folder: TemporaryFolder
  ) throws -> CommandLine.Outcome {
    try CommandLine.run(
      ["generate", "-p", "a red apple", "--seed", "3", "--steps", "3", "--force"] + arguments,
      in: folder.url)
  }

  @Test("pictures are the same bits whatever the budget and the way to read")
  func sameBits() throws {
    let folder = try TemporaryFolder()
    var pictures: Set<Data> = []
    for (index, options) in [
      [], ["--memory", "max"], ["--memory", "64MiB"], ["--memory", "60MiB", "--io", "read"],
      ["--io", "read"], ["--memory", "70MiB", "--threads", "1"],
    ].enumerated() {
      let outcome = try generate(["-o", "\(index).png"] + options, in: folder)
      #expect(outcome.status == 0, "\(options): \(outcome.errors)")
      pictures.insert(try Data(contentsOf: URL(fileURLWithPath: folder.path("\(index).png"))))
    }
    #expect(pictures.count == 1)
  }

  @Test("the peak stays below the budget, or the program refuses and says what would fit")
  func budgetHolds() throws {
    let folder = try TemporaryFolder()
    var refused = 0
    var held = 0
    for mebibytes in [1, 20, 40, 48, 52, 56, 60, 64, 72, 128] {
      let outcome = try generate(
        ["-o", "a.png", "--memory", "\(mebibytes)MiB", "--json"], in: folder)
      if outcome.status == 71 {
        refused += 1
        #expect(outcome.errorLines.count == 1)
        #expect(outcome.errors.contains("--memory"))
        continue
      }
      #expect(outcome.status == 0, "\(outcome.errors)")
      held += 1
      let peak = try #require(
        try JSONValue(parsing: outcome.output)["peakResidentBytes"]?.integerValue)
      #expect(peak <= mebibytes << 20, "\(mebibytes) MiB")
    }
    #expect(refused >= 2 && held >= 4)
  }

  @Test("what the refusal recommends works")
  func adviceWorks() throws {
    let folder = try TemporaryFolder()
    let refusal = try generate(["-o", "a.png", "--memory", "20MiB"], in: folder)
    #expect(refusal.status == 71)
    let words = refusal.errors.split(whereSeparator: { " ,\n".contains($0) })
    let place = try #require(words.firstIndex(of: "--memory"))
    let outcome = try generate(
      ["-o", "a.png", "--memory", String(words[place + 1])], in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  @Test(
    "sizes are understood, nonsense is refused",
    arguments: [
      ("1GiB", true), ("1.5gb", true), ("auto", true), ("MAX", true), ("800000000", true),
      ("2 GiB", true), ("-1GiB", false), ("lots", false), ("GiB", false), ("1e30GiB", false),
    ])
  func sizes(_ size: String, isFine: Bool) throws {
    let folder = try TemporaryFolder()
    let outcome = try generate(["-o", "a.png", "--memory=\(size)"], in: folder)
    #expect(outcome.status == (isFine ? 0 : 64), "\(size): \(outcome.errors)")
  }

  @Test(
    "a model that is changed while it is used is one line and exit 74",
    arguments: [
      "truncate", "rewrite", "touch",
    ])
  func changedModel(_ change: String) throws {
    let folder = try TemporaryFolder()
    let model = folder.path("model.gguf")
    try FileManager.default.copyItem(atPath: try ShippedModel.path(), toPath: model)
    let command =
      switch change {
      case "truncate": "truncate -s 5000000 model.gguf"
      case "rewrite": "dd if=/dev/zero of=model.gguf bs=1M count=20 conv=notrunc status=none"
      default: "touch model.gguf"
      }
    let script = """
      "$1" generate -m model.gguf -p x --steps 500 --memory 80MiB --quiet -o a.png & \
      sleep 0.7; \(command); wait $!
      """
    let outcome = try CommandLine.shell(script, in: folder.url)
    #expect(outcome.status == 74, "\(outcome.errors)")
    #expect(outcome.errorLines.filter { $0.hasPrefix("error: ") }.count == 1, "\(outcome.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.path("a.png")))
  }

  @Test("a model that is cut short at any moment is one line and exit 74")
  func truncatedAtAnyMoment() throws {
    let folder = try TemporaryFolder()
    for moment in 0..<20 {
      let model = folder.path("model.gguf")
      try? FileManager.default.removeItem(atPath: model)
      try FileManager.default.copyItem(atPath: try ShippedModel.path(), toPath: model)
      let script = """
        "$1" generate -m model.gguf -p x --steps 500 --memory 80MiB --quiet -o a.png & \
        sleep 0.\(10 + 4 * moment); truncate -s \(1_000_000 * moment) model.gguf; wait $!
        """
      let outcome = try CommandLine.shell(script, in: folder.url)
      // Before its header is read the file is simply damaged.
      #expect([65, 74].contains(outcome.status), "\(moment): \(outcome.errors)")
      #expect(!outcome.wasSignalled)
      #expect(outcome.errorLines.count { $0.hasPrefix("error: ") } == 1, "\(outcome.errors)")
    }
  }

  @Test("too small an address space: files are mapped piece by piece, or one line and exit 71")
  func addressSpace() throws {
    let folder = try TemporaryFolder()
    let model = try syntheticModel(in: folder)
    var pictures: Set<Data> = []
    var statuses: Set<Int32> = []
    // Somewhere between 216,000 and 264,000 the first map of the file just fits and leaves next to
    // nothing.
    for kibibytes in Array(stride(from: 216_000, through: 264_000, by: 6_000)) + [
      180_000, 300_000, 400_000, 500_000, 600_000, 700_000, 1_000_000, 2_000_000,
      4_000_000,
    ] {
      let outcome = try CommandLine.shell(
        """
        ulimit -v \(kibibytes); "$1" generate -m "$2" -p x -W 64 -H 64 --steps 1 -o a.png --force
        """, [model], in: folder.url)
      statuses.insert(outcome.status)
      #expect([0, 71].contains(outcome.status), "\(kibibytes): \(outcome.errors)")
      #expect(!outcome.wasSignalled)
      if outcome.status == 0 {
        pictures.insert(try Data(contentsOf: URL(fileURLWithPath: folder.path("a.png"))))
      }
    }
    #expect(statuses.contains(0))
    #expect(pictures.count == 1)
  }

  /// In processes of their own: what a picture needs counts what is resident before. Next to that
  /// the sizes of this model are far apart.
  @Test("the size that is recommended fits into the same memory, and is the largest such")
  func recommendedSize() throws {
    let folder = try TemporaryFolder()
    let model = try syntheticModel(in: folder)
    func plan(_ side: Int, _ options: [String]) throws -> JSONValue {
      let plan = try CommandLine.run(
        ["plan", model, "-p", "x", "-W", "\(side)", "-H", "\(side)", "--steps", "1"]
          + ["--no-trial", "--json"] + options, in: folder.url)
      #expect(plan.status == 0, "\(plan.errors)")
      return try JSONValue(parsing: plan.output)
    }
    func generate(_ side: Int, _ budget: Int) throws -> CommandLine.Outcome {
      try CommandLine.run(
        ["generate", "-m", model, "-p", "x", "-W", "\(side)", "-H", "\(side)", "--steps", "1"]
          + ["--memory", "\(budget)", "-o", "a.png", "--force"], in: folder.url)
    }
    func least(_ side: Int) throws -> Int {
      try #require(try plan(side, [])["leastBytes"]?.integerValue)
    }
    let (small, large) = (try least(256), try least(512))
    try #require(large > small + 16 << 20)
    let budget = (small + large) / 2
    let refused = try generate(512, budget)
    #expect(refused.status == 71, "\(refused.errors)")
    let size = try #require(refused.errors.components(separatedBy: ", or ").last)
    let sides = size.split(separator: "x").compactMap { Int($0.prefix { $0.isNumber }) }
    try #require(sides.count == 2 && sides[0] == sides[1] && sides[0] < 512, "\(refused.errors)")
    let outcome = try generate(sides[0], budget)
    #expect(outcome.status == 0, "\(outcome.errors)")
    // Sizes go down by twentieths, in multiples of 16.
    #expect(try generate(sides[0] + 32, budget).status == 71)
  }

  @Test("plans are never below the measured peak, and above it by little more than their slack")
  func plansAreTrue() throws {
    let folder = try TemporaryFolder()
    let model = try syntheticModel(in: folder)
    for (side, steps, budget) in [
      (64, 1, "max"), (128, 2, "max"), (256, 1, "max"), (256, 1, "200MiB"), (256, 1, "150MiB"),
      (128, 2, "120MiB"), (128, 40, "160MiB"), (384, 1, "300MiB"), (384, 1, "220MiB"),
      (64, 1, "100MiB"),
    ] {
      _ = try PlannedRun.expectPlan(
        model,
        ["-W", "\(side)", "-H", "\(side)", "--steps", "\(steps)", "--memory", budget], in: folder)
    }
  }

  @Test("SIGINT ends every stage within two seconds")
  func interruptedStages() throws {
    let folder = try TemporaryFolder()
    let model = try syntheticModel(in: folder)
    for (stage, steps) in [
      ("model:", 1), ("encoding text", 1), ("preparing schedule", 2000), ("step 1/", 50),
      ("decoding", 1),
    ] {
      // The time from the signal to the end is measured where the shell knows both.
      let script = """
        "$1" generate -m "$2" -p "$3" -W 512 -H 512 --steps \(steps) --verbose -o a.png 2> errors & \
        until grep -q '^\(stage)' errors; do kill -0 $! || break; sleep 0.01; done; \
        start=$(date +%s%N); kill -INT $!; wait $!; status=$?; \
        echo $(($(date +%s%N) - start)); exit $status
        """
      let prompt = String(repeating: "a lighthouse on a cliff ", count: 40)
      let outcome = try CommandLine.shell(script, [model, prompt], in: folder.url)
      #expect(outcome.status == 130, "\(stage)")
      let nanoseconds = Int(outcome.output.trimmingCharacters(in: .whitespacesAndNewlines))
      #expect(try #require(nanoseconds) < 2_000_000_000, "\(stage)")
      let left = try FileManager.default.contentsOfDirectory(atPath: folder.url.path)
      // What took long is kept.
      #expect(Set(left).subtracting(["a.png.unfinished"]) == ["medium.gguf", "errors"])
      FileSystem.unlink(folder.path("a.png.unfinished"))
    }
  }

  @Test("two programs at once use one model and make the same picture")
  func concurrentRuns() throws {
    let folder = try TemporaryFolder()
    let processes = try ["a.png", "b.png"].map {
      try CommandLine.start(
        [
          "generate", "-p", "a red apple", "--seed", "3", "--steps", "8", "--memory", "80MiB",
          "--quiet", "-o", $0,
        ], in: folder.url)
    }
    for process in processes {
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
    }
    let pictures = try ["a.png", "b.png"].map {
      try Data(contentsOf: URL(fileURLWithPath: folder.path($0)))
    }
    #expect(pictures[0] == pictures[1])
  }

  /// A model of some 260 MB.
  private func syntheticModel(in folder: TemporaryFolder) throws -> String {
    let model = folder.path("medium.gguf")
    let outcome = try CommandLine.run(
      ["synthesize", "--preset", "medium", "--type", "q4_K", model, "--quiet"], in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    return model
  }

  @Test("a model that is replaced by another file under its name stays what it was")
  func replacedModel() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      atPath: try ShippedModel.path(), toPath: folder.path("model.gguf"))
    let script = """
      "$1" generate -m model.gguf -p x --steps 60 --memory 64MiB --quiet -o a.png & \
      sleep 0.5; echo other > other; mv other model.gguf; wait $!
      """
    let outcome = try CommandLine.shell(script, in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
  }
}
