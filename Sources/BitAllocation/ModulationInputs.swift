import BlockFormats
import Checkpoints
import Compute
import ComputeCPU
import Conversion
import Diffusion
import LinearAlgebra
import Machine
import Quantization
import TextToImage

/// What enters the modulation of a model's layers, for which it is rounded with error feedback.
///
/// The times of all steps lie on a curve, so that a few directions have nearly all of the energy:
/// modulation, a third of some models, can be rounded far more coarsely than other matrices.
package struct ModulationInputs: Sendable {
  private let inputs: LinearInputs
  /// Our names of the matrices.
  private let names: Set<String>
  /// What rounding it to 8 bits would add to products, relative to them, with scales for 32 and for
  /// 256 columns.
  package let activationErrors: [Double]

  /// Noise levels where time is all that counts.
  private static let levels = 512
  /// Noise levels for each prompt, where prompts count too.
  private static let levelsOfPrompt = 64
  /// Prompts at most.
  private static let prompts = 8
  /// What is added to the diagonal of the moments where all inputs are known, and where prompts
  /// that were not seen may bring others.
  private static let damping = (known: 1e-4, sampled: 1e-2)

  /// What measurements with it depend on, as a text.
  static var settings: String {
    OpenBLAS.shared == nil ? "plain" : "modulation 1 \(levels) \(levelsOfPrompt) \(prompts)"
  }

  /// What files say that were converted with it.
  package static let calibration = "modulation: second moments of its inputs, error feedback"

  /// Evaluates them; nil where nothing is modulated, or OpenBLAS is not installed.
  ///
  /// - Parameters:
  ///   - plan: a conversion of the model.
  ///   - pipeline: the model.
  ///   - requests: whose prompts count, where prompts do.
  /// - Throws: `GenerationError`.
  package init?(
    _ plan: ConversionPlan, _ pipeline: Pipeline, _ requests: [GenerationRequest]
  ) async throws {
    names = Set(plan.tensors.filter { $0.role == .modulation }.map(\.source.name))
    guard !names.isEmpty, OpenBLAS.shared != nil, !requests.isEmpty else { return nil }
    let readsPrompts = pipeline.modulationReadsPrompts
    var rows: [Float] = []
    var columns = 0
    for var request in requests.prefix(readsPrompts ? Self.prompts : 1) {
      // Modulation reads a vector of the whole prompt; the sequence of its tokens does not count.
      request.maxSequenceLength = 1
      let found = try await pipeline.modulationInputs(
        of: request, levels: readsPrompts ? Self.levelsOfPrompt : Self.levels)
      rows += found.rows
      columns = found.columns
    }
    guard
      let inputs = LinearInputs(
        rows: rows, columns: columns,
        damping: readsPrompts ? Self.damping.sampled : Self.damping.known,
        on: ThreadPool(threadCount: pipeline.threadCount))
    else { return nil }
    self.inputs = inputs
    activationErrors = Self.activationErrors(rows, columns)
  }

  /// As if products grew alike whatever enters them.
  private static func activationErrors(_ rows: [Float], _ columns: Int) -> [Double] {
    [ActivationNoise.widths.narrow, ActivationNoise.widths.wide].map { width in
      let squares = ActivationNoise.squares(rows, columns: columns, width: width)
      return squares.value > 0 ? (squares.error / squares.value).squareRoot() : 0
    }
  }

  /// Evaluates them of a denoiser by itself, whose modulation reads no prompts; nil as above, and
  /// where it does.
  ///
  /// - Parameters:
  ///   - plan: a conversion of the model.
  ///   - denoiser: the model's.
  ///   - pool: threads to work on.
  /// - Throws: `ComputeError`.
  package init?(
    _ plan: ConversionPlan, _ denoiser: any Denoiser, on pool: ThreadPool
  ) throws(ComputeError) {
    names = Set(plan.tensors.filter { $0.role == .modulation }.map(\.source.name))
    guard !names.isEmpty, OpenBLAS.shared != nil, !denoiser.modulationReadsPrompts else {
      return nil
    }
    let device = CPUDevice(pool, activations: .exact)
    // Every published schedule has 1000 times, which makes a level its own time.
    let times = Pipeline.modulationLevels(Self.levels)
    func evaluate<Network: Denoiser>(_ denoiser: Network) throws(ComputeError) -> Matrix {
      try denoiser.modulationInputs([], times: times, guidance: nil, on: device)
    }
    let found = try evaluate(denoiser)
    let rows = try device.read(found)
    guard
      let inputs = LinearInputs(
        rows: rows, columns: found.columns, damping: Self.damping.known, on: pool)
    else { return nil }
    self.inputs = inputs
    activationErrors = Self.activationErrors(rows, found.columns)
  }

  /// What enters a tensor by our name; nil for other tensors.
  package func inputs(of name: String, columns: Int) -> LinearInputs? {
    names.contains(name) && columns == inputs.columns ? inputs : nil
  }
}

extension RoundingErrors {
  /// Errors of matrices of which the modulation is rounded for what enters it.
  package init(
    importance: ImportanceMatrix?, modulation: ModulationInputs?,
    known: [String: [ElementType: Double]] = [:], quality: QuantizationQuality,
    on pool: ThreadPool
  ) {
    self.init(
      importance: importance, inputs: { modulation?.inputs(of: $0, columns: $1) }, known: known,
      quality: quality, on: pool)
  }
}

extension ConversionOptions {
  /// Rounds the modulation for what enters it.
  package mutating func use(_ modulation: ModulationInputs) {
    inputs = { modulation.inputs(of: $0, columns: $1) }
  }
}
