import Diffusion
import Machine

/// Which weights tokens pass through.
package enum CalibrationStream: Int, Sendable, CaseIterable {
  /// The model's own.
  case exact
  /// Those that were rounded so far.
  case rounded
}

/// Weights that the same rows enter and count alike for.
package struct ProductGroup: Sendable {
  /// A weight of a group.
  package struct Weight: Sendable {
    /// Our name.
    package let name: String
    package let rows: Int
    /// As it is stored.
    package let byteCount: Int
  }

  package let weights: [Weight]
  package let columns: Int
  /// Rows that enter them at all places together.
  package internal(set) var rows = 0
  /// Rows at the place that has most.
  package internal(set) var largestPlace = 0

  /// Outputs of all weights together.
  package var outputs: Int { weights.reduce(0) { $0 + $1.rows } }
  /// Bytes of all weights together.
  package var weightBytes: Int { weights.reduce(0) { $0 + $1.byteCount } }
  /// Whether it is less work to take products of the weight than inputs, for targets.
  package var takesProducts: Bool { weights.count == 1 && columns > 2 * outputs }
}

extension ProductGroup {
  /// Whether both are of the same weights.
  func isSame(as other: ProductGroup) -> Bool { weights.first?.name == other.weights.first?.name }

  mutating func add(rows count: Int) {
    rows += count
    largestPlace = max(largestPlace, count)
  }
}

/// What enters the weights of a group at one place.
package struct ProductRows: Sendable {
  /// `[count, columns]`: of the rounded stream if there is one, times the roots of the rows'
  /// weights.
  package let inputs: [Float]
  /// By how much those of the exact stream differ, or the products of that with the weight; nil
  /// without a rounded stream.
  package let differences: [Float]?
}

/// The points of a calibration on their way through the layers of a denoiser, of whatever family.
///
/// A place is a prompt at a noise level and one branch of guidance. All places pass through a stage
/// of a layer before the next one begins; what lies between stages is in a scratch file.
package protocol LayerPassing: AnyObject {
  var layerCount: Int { get }
  var placeCount: Int { get }
  /// Bytes of the scratch file.
  var scratchBytes: Int { get }
  /// How often a place passes through all layers on the way to the points.
  var pathPassCount: Int { get }
  /// Most bytes of memory for taking a place through a stage, without the weights.
  var runBytes: Int { get }
  /// Bytes of the vectors by which a layer adapts the tokens of one place.
  var modulationRowBytes: Int { get }
  /// Most bytes for encoding the prompts of all points, a layer's weights among them.
  var textBytes: Int { get }
  /// Most bytes for going to the points: prompts, a place, and the weights of a layer.
  var pathBytes: Int { get }
  /// Latents of the points, `[points][values]`, and what enters the modulation, `[places,
  /// columns]`.
  func state() throws(GenerationError) -> (latents: [[Float]], modulationInputs: [Float])

  /// Goes from noise to the points, and embeds them for all streams.
  ///
  /// - Parameter onPass: told of places that have passed a layer.
  /// - Throws: `GenerationError`.
  func findPoints(_ onPass: @escaping (_ places: Int) -> Void) throws(GenerationError)
  /// Goes on with points that were found before.
  func resume(latents: [[Float]], modulationInputs: [Float]) throws(GenerationError)

  /// The matrices that make the vectors by which a layer adapts tokens, by our names.
  func modulationNames(of layer: Int) throws(GenerationError) -> [String]
  func stageCount(of layer: Int) -> Int
  /// The groups of a stage, in the order of use.
  func groups(of layer: Int, stage: Int) throws(GenerationError) -> [ProductGroup]
  /// Evaluates the modulation of a layer for a stream.
  func begin(_ layer: Int, _ stream: CalibrationStream) throws(GenerationError)
  /// Makes what enters a group at a place.
  ///
  /// - Parameters:
  ///   - group: of the stage.
  ///   - layer: index over all stacks.
  ///   - stage: of the layer.
  ///   - place: its number.
  /// - Returns: rows of both streams.
  /// - Throws: `GenerationError`.
  func rows(
    of group: ProductGroup, in layer: Int, stage: Int, place: Int
  ) throws(GenerationError) -> ProductRows
  /// What rounding what enters a group to 8 bits does to its products, relative to them, by our
  /// names; at some places.
  ///
  /// - Parameters:
  ///   - group: of the stage.
  ///   - layer: index over all stacks.
  ///   - stage: of the layer.
  ///   - round: by how much rows `[count, columns]` change, for scales that are shared by 32 and by
  ///     256 columns.
  /// - Returns: two errors for each weight.
  /// - Throws: `GenerationError`.
  func activationErrors(
    of group: ProductGroup, in layer: Int, stage: Int,
    _ round: (_ rows: [Float], _ columns: Int) -> [[Float]]
  ) throws(GenerationError) -> [String: [Double]]
  /// Takes all places of a stream through a stage.
  func run(
    stage: Int, of layer: Int, _ stream: CalibrationStream
  ) throws(GenerationError)
  /// Takes other weights for the rounded stream.
  func replaceRounded(by denoiser: any Denoiser)
  /// Waits until what the next layer reads is on the disk.
  func flush() throws(GenerationError)
}
