import Diffusion
import Foundation

/// A step from a request's own noise, or the latents that it starts from, towards others.
public struct LatentsBlend: Sendable, Equatable {
  /// `[images, channels, height / f, width / f]` as `GenerationRequest.latents`; those of one
  /// picture serve all.
  public var latents: [Float]
  /// How far to go, on the arc between them: 0 is the request's own start, 1 the other one.
  public var share: Double

  /// - Parameters:
  ///   - latents: what to go towards.
  ///   - share: how far to go, 0 to 1.
  public init(_ latents: [Float], share: Double) {
    self.latents = latents
    self.share = share
  }
}

/// What pictures start from where it is no picture: noise, given latents, or something between.
struct InitialLatents: Sendable {
  /// Of all pictures, or of one that serves all; nil for noise.
  private let given: [Float]?
  /// What is gone towards, with a share above 0 and below 1.
  private let blend: LatentsBlend?

  init(_ request: GenerationRequest) {
    let blend = request.latentsBlend
    let share = blend?.share ?? 0
    given = share >= 1 ? blend?.latents : request.latents
    self.blend = share > 0 && share < 1 ? blend : nil
  }

  /// What a picture starts from.
  ///
  /// - Parameters:
  ///   - image: its number.
  ///   - count: values of its latents.
  ///   - noise: its stream of random numbers, which is asked for noise where noise takes part.
  /// - Returns: the values.
  func latents(of image: Int, count: Int, noise: inout TorchNoise) -> [Float] {
    let own = given.map { Self.part($0, image, count) } ?? noise.normal(count)
    guard let blend else { return own }
    return Self.onArc(own, Self.part(blend.latents, image, count), blend.share)
  }

  private static func part(_ values: [Float], _ image: Int, _ count: Int) -> [Float] {
    values.count == count ? values : Array(values[image * count..<(image + 1) * count])
  }

  /// Spherical interpolation, as people do it with diffusers: the length of noise is kept, which a
  /// straight line would shorten. Where two directions are nearly one, or opposite, it is straight.
  ///
  /// - Parameters:
  ///   - first: where the arc begins.
  ///   - second: where it ends, as many values.
  ///   - share: how far to go.
  /// - Returns: as many values.
  static func onArc(_ first: [Float], _ second: [Float], _ share: Double) -> [Float] {
    var (product, firstSquares, secondSquares) = (0.0, 0.0, 0.0)
    for (a, b) in zip(first, second) {
      product += Double(a) * Double(b)
      firstSquares += Double(a) * Double(a)
      secondSquares += Double(b) * Double(b)
    }
    let lengths = (firstSquares * secondSquares).squareRoot()
    let cosine = lengths > 0 ? product / lengths : 1
    var (ofFirst, ofSecond) = (1 - share, share)
    if abs(cosine) <= 0.9995 {
      let angle = acos(cosine)
      ofFirst = sin((1 - share) * angle) / sin(angle)
      ofSecond = sin(share * angle) / sin(angle)
    }
    return zip(first, second).map { Float(ofFirst * Double($0) + ofSecond * Double($1)) }
  }
}

extension Pipeline {
  /// Checks what a request's start goes towards.
  ///
  /// - Throws: `GenerationError.invalidRequest`.
  func checkLatentsBlend(
    _ request: GenerationRequest, _ settings: GenerationSettings
  ) throws(GenerationError) {
    guard let blend = request.latentsBlend else { return }
    guard request.picture == nil else {
      throw .invalidRequest("blended latents and a picture to start from contradict each other")
    }
    guard blend.share >= 0, blend.share <= 1 else {
      throw .invalidRequest("the share \(blend.share) of blended latents is outside of 0...1")
    }
    let shape = latentShape(for: settings)
    let count = shape.reduce(1, *)
    guard [count, count / max(1, shape[0])].contains(blend.latents.count) else {
      throw .invalidRequest(
        "the latents to blend with hold \(blend.latents.count) values, expected shape \(shape) or "
          + "those of one picture")
    }
    guard blend.latents.allSatisfy(\.isFinite) else {
      throw .invalidRequest("the latents to blend with hold NaN or infinite values")
    }
  }
}
