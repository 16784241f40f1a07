import ModelFiles
import TextToImage

/// What the pictures of a run say about how they were made, known before they are.
struct RunMetadata: Sendable {
  let modelName: String
  let modelFiles: [(name: String, fingerprint: String)]
  let activations: String
  /// Files that took part beside the model, by job.
  let inputs: [[RecordedPicture.Input]]
  /// The picture of a file of latents that is used alone; else nil.
  let latentsIndex: Int?

  /// What a picture's file says.
  ///
  /// - Parameters:
  ///   - image: its number in the job.
  ///   - number: the job's in the run.
  ///   - job: its prompt's.
  ///   - settings: of the job.
  /// - Returns: the metadata.
  func metadata(
    _ image: Int, of number: Int, _ job: PictureJob, _ settings: GenerationSettings
  ) -> ImageMetadata {
    ImageMetadata(
      settings: settings, seed: settings.seeds[image], model: modelName, modelFiles: modelFiles,
      activations: activations, inputs: inputs[number], start: job.request.picture,
      latentsIndex: latentsIndex
        ?? (job.hasLatentsOfEach ? image : nil))
  }
}

extension ImageMetadata {
  /// A short name for all that decides about the picture's pixels.
  var fingerprint: String { XXHash64.name(of: json.text()) }
}
