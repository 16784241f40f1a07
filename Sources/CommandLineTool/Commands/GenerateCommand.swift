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
        auraflow generate --transformer flux1-schnell-Q4_K_S.gguf --t5xxl t5xxl_fp16.safetensors \\
            --clip-l clip_l.safetensors --vae ae.safetensors --tokenizer tokenizer_2/ \\
            --clip-tokenizer tokenizer/ -p "a lighthouse at dawn"
        auraflow generate -f prompts.txt -o night_%03d.png
        auraflow generate -m flux1-schnell.gguf -p "a lighthouse" --lora style.safetensors:0.8
        auraflow generate --from cat.png --seed 5 -o another-cat.png
        auraflow generate -p "a lighthouse" --save-embeds lighthouse.safetensors
        auraflow generate --embeds lighthouse.safetensors --blend-embeds mill.safetensors:0.5
        echo "a lighthouse" | auraflow generate -p - -o - > lighthouse.png

      Size, steps, guidance, shift and sequence length default to what the model's
      file says, else to how its kind is published:

                            size  steps  guidance  shift    tokens
        AuraFlow       1024x1024     50  3.5       1.73        256
        FLUX.1-dev     1024x1024     28  3.5       by size     512
        FLUX.1-schnell 1024x1024      4            1           256

      AuraFlow is guided by --guidance-scale (--cfg-scale), with two passes of each
      step. FLUX.1-dev knows --guidance by itself, and its shift grows with the
      picture: 1.88 at 512x512, 3.16 at 1024x1024. Above 1 a --guidance-scale gives
      FLUX.1 the second pass too, for a negative prompt.

      All prompts are encoded before the transformer is read, and each picture is
      written as soon as it is finished. Up to eight of one size, and of the same
      steps and guidance, are made together where memory is so short that weights
      are read again at each step. After an interruption the same command with
      --resume goes on: finished pictures stay, unfinished ones were kept beside the
      first, as output.png.unfinished. A file that cannot be written in the end goes beside its place,
      else into the working folder, else into the one for temporary files; then the
      exit code is 73 or 74.

      --init-image starts from a picture: noise is added to it and removed again. A
      --strength of 0.6 (the default) makes the last 0.6 of the steps; 1 leaves
      nothing of the picture. Without -W and -H the size follows the picture. With
      --mask only what is white there is repainted, but the whole result comes from
      the decoder; --keep-unmasked puts the other pixels back as they were.

        auraflow generate -i photo.png --strength 0.5 -p "a watercolor of a harbour"
        auraflow generate -i photo.png --mask sky.png --keep-unmasked -p "a stormy sky"

      \(PromptOptions.fileHelp)
      Pictures are counted over the whole file: picture i, from 0, has that number
      in its name and the seed --seed + i, unless its line has an output or a seed
      of its own. What a line says comes before options; --num-images multiplies
      numImages.
      """)

  @OptionGroup(title: "Picture") var picture: PictureOptions
  @OptionGroup(title: "Output") var output: OutputOptions
  @OptionGroup var resume: ResumeOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Picture to start from") var input: PictureInputOptions
  @OptionGroup(title: "Encoded prompts, and ways between two pictures") var encoded: EmbedsOptions
  @OptionGroup(title: "Previews") var previews: PreviewOptions
  @OptionGroup(title: "Memory") var memory: MemoryOptions
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  mutating func validate() throws {
    try encoded.check(picture)
    // A picture to make again may have started from one.
    if picture.from == nil, picture.prompts.prompts == nil { try input.expectComplete() }
    if resume.resume, output.saveLatents != nil {
      throw ValidationError(
        "--resume and --save-latents contradict each other: latents of finished pictures are not "
          + "kept")
    }
    if input.initImage != nil, picture.latents != nil {
      throw ValidationError("--init-image and --latents contradict each other: give one of them")
    }
    if input.initImage != nil, encoded.blendLatents != nil {
      throw ValidationError(
        "--init-image and --blend-latents contradict each other: give one of them")
    }
  }

  func run() async throws {
    try await reportingFailure {
      let console = Console(common)
      let interruption = Interruption(clearsLine: console.showsProgress)
      let inputs = try GenerationInputs(self, console)
      let previewing = try PreviewWriter(previews)
      let jobs = zip(
        try PictureJob.jobs(
          inputs.lines, picture, inputs.initial, base: inputs.recorded?.request,
          output: output.output), inputs.starts
      ).map { inputs.embeds(in: $0.starting(from: $1.picture)) }
      // Wrong names must be found before hours of work, not after. The check writes and removes
      // temporary files.
      interruption.beginWriting()
      // Which pictures are there already is judged when all is known that decides about them.
      let files = try output.checkedFiles(
        images: jobs.flatMap(\.names), preview: previews.preview, embeds: encoded.saveEmbeds,
        force: common.force, isResumed: resume.resume)
      try resume.checkUnfinished(at: files.unfinished, force: common.force)
      if let code = interruption.exitCode { throw ExitCode(code) }
      interruption.beginPreparing()
      let (pipeline, name) = try inputs.model.open(
        encoder: inputs.input.encoder.vaeEncoder, memory: memory, precision: precision,
        threads: common.threads, readsTexts: inputs.embeds == nil)
      if inputs.starts.contains(where: { $0.picture != nil }) { try pipeline.expectEncoder() }
      if inputs.embeds != nil { encoded.noteIdle(model.parts, console) }
      try files.expectApart(
        from: pipeline.files + inputs.files
          + [picture.prompts.file, picture.from].compactMap { $0 })
      console.detail("model: \(name)")
      let modelFiles = ModelFingerprints.of(pipeline)
      if let recorded = inputs.recorded {
        let present = Set(modelFiles.map(\.fingerprint))
        for note in recorded.notes(pipeline, present: present) { console.note(note) }
      }
      let session = try GenerateSession(
        pipeline: pipeline,
        jobs: try resolved(jobs, inputs, pipeline, savesLatents: files.latents != nil),
        metadata: RunMetadata(
          modelName: name, modelFiles: modelFiles, activations: pipeline.activations.rawValue,
          inputs: inputs.records, latentsIndex: inputs.latentsIndex),
        resume: resume, seed: picture.sampling.seed, previewing: previewing, files: files,
        isFromFile: picture.prompts.prompts != nil, common: common, console: console,
        interruption: interruption)
      try await session.run()
      console.keepTokenizers(of: pipeline)
    }
  }

  /// The jobs as the model takes them, with what a picture's file says of them.
  private func resolved(
    _ jobs: [PictureJob], _ inputs: GenerationInputs, _ pipeline: Pipeline, savesLatents: Bool
  ) throws -> [PictureJob] {
    var jobs = jobs
    if let recorded = inputs.recorded {
      for index in jobs.indices {
        jobs[index].request = recorded.settled(jobs[index].request, pipeline)
      }
    }
    var resolved = try PictureJob.resolved(
      jobs, inputs.initial, picture, pipeline, savesLatents: savesLatents)
    for index in resolved.indices {
      resolved[index].request.latentsBlend = try inputs.latentsBlend(of: resolved[index], pipeline)
    }
    if let choice = try previews.choice(pipeline) {
      for index in resolved.indices { resolved[index].request.previews = choice }
    }
    return resolved
  }
}
