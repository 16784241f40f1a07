import ArgumentParser
import Foundation
import ModelFiles
import StrictJSON
import TextToImage

/// Makes pictures from a prompt.
struct GenerateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Make pictures from a prompt.",
    discussion: """
      Examples:
        auraflow generate -p "a cat in front of a green wall" -o cat.png
        auraflow generate -m aura_flow_0.3/ -p "a lighthouse at dawn" -W 768 -H 512 --steps 30
        auraflow generate --transformer aura_flow_0.3-Q4_K_S.gguf --text-encoder pile_t5_xl.gguf \\
            --vae sdxl_vae.safetensors --tokenizer tokenizer/ -p "a lighthouse at dawn"

      Size, steps, guidance, shift and sequence length default to what the model's file says, else
      to AuraFlow's 1024x1024, 50, 3.5, 1.73 and 256.
      """)

  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Memory") var memory: MemoryOptions
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup(title: "Picture") var picture: PictureOptions
  @OptionGroup(title: "Output") var output: OutputOptions
  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await reportingFailure {
      let console = Console(common)
      let interruption = Interruption(clearsLine: console.showsProgress)
      let initial = try picture.latents.map { try LatentFile(path: $0) }
      // Wrong names must be found before hours of work, not after.
      let count = picture.numImages ?? initial?.shape[0] ?? 1
      // The check writes and removes temporary files.
      interruption.beginWriting()
      let files = try output.checkedFiles(
        imageCount: max(1, min(count, 256)), force: common.force)
      if let code = interruption.exitCode { throw ExitCode(code) }
      interruption.beginPreparing()
      let (pipeline, name) = try model.open(
        memory: memory, precision: precision, threads: common.threads)
      try files.expectApart(from: pipeline.files + [picture.latents].compactMap { $0 })
      let request = try picture.request(count: count, initial: initial, pipeline)
      console.detail("model: \(name)")
      let result = try await generate(request, pipeline, interruption, console)
      interruption.beginWriting()
      try write(result, files, modelName: name, interruption, console)
    }
  }

  /// Runs the pipeline with progress on the terminal, until done or interrupted.
  private func generate(
    _ request: GenerationRequest, _ pipeline: Pipeline, _ interruption: Interruption,
    _ console: Console
  ) async throws -> GenerationResult {
    let reporter = ProgressReporter(console)
    let task = Task { try await pipeline.generate(request) { reporter.report($0) } }
    interruption.beginComputing { task.cancel() }
    let outcome = await task.result
    console.endProgress()
    if let code = interruption.exitCode { throw ExitCode(code) }
    let result = try outcome.get()
    if !result.settings.usesGuidance, !request.negativePrompt.isEmpty {
      console.note("the negative prompt has no effect at a guidance scale of 1 or less")
    }
    for (name, dropped) in [
      ("prompt", result.droppedTokens.prompt),
      ("negative prompt", result.droppedTokens.negativePrompt),
    ] where dropped > 0 {
      console.note(
        "the \(name) was cut: \(dropped) of its tokens are beyond the "
          + "\(result.settings.maxSequenceLength) that --max-sequence-length allows")
    }
    return result
  }

  private func write(
    _ result: GenerationResult, _ files: OutputOptions.Files, modelName: String,
    _ interruption: Interruption, _ console: Console
  ) throws {
    let results = ResultWriter(console, overwrite: common.force)
    var names: [String] = []
    for (index, image) in result.images.enumerated() {
      let metadata = ImageMetadata(
        settings: result.settings, seed: result.settings.seeds[index], model: modelName)
      let place = results.write(files.images[index], ending: ".png") {
        try image.pngData(texts: metadata.texts)
      }
      if let place, !common.json { console.result(place.withoutControlCharacters, beside: files) }
      names.append(place ?? "")
    }
    if let path = files.latents {
      _ = results.write(path, ending: ".safetensors") { LatentFile.encode(result) }
    }
    let report = RunReport(result, images: names, model: modelName)
    if let path = files.statistics {
      _ = results.write(path, ending: ".json") {
        Array((report.json.text(indentation: 2) + "\n").utf8)
      }
    }
    if common.json { console.result(report.json.text(indentation: 2), beside: files) }
    console.detail(report.summary)
    try results.finish()
    if let code = interruption.exitCode { throw ExitCode(code) }
  }
}
