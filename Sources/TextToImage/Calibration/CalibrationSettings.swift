/// On what weights are calibrated: places on the way from noise to pictures.
package struct CalibrationSettings: Sendable {
  /// What the model is to draw.
  package var prompts: [String]
  /// Places: a noise level of a prompt each.
  package var points = 64
  /// Of the pictures, in pixels.
  package var side: Int

  /// Steps by which a place is reached, at most. With one it lies too far from where pictures pass
  /// (a fifth more error at Q2_K); more than two gain little, and each takes all points through all
  /// layers.
  package static let pathSteps = 2

  /// Calibrates on some prompts.
  package init(prompts: [String], side: Int) {
    self.prompts = prompts
    self.side = side
  }

  /// The prompt of a point: all of them in turn, or as many as there are points, spread evenly.
  package func prompt(of point: Int) -> Int {
    prompts.count > points ? point * prompts.count / points : point % max(1, prompts.count)
  }

  /// The step of a schedule at which a point lies: spread evenly, whatever the number of points.
  package static func step(of point: Int, of steps: Int) -> Int {
    // Multiples of the golden ratio divide the unit interval evenly at any count.
    let place = (Double(point) + 0.5) * 0.618_033_988_749_894_9
    return min(steps - 1, Int((place - place.rounded(.down)) * Double(steps)))
  }

  /// The steps of a schedule that a path to one of them goes through, it being the last.
  package static func path(to step: Int) -> [Int] {
    let jumps = min(step, pathSteps)
    guard jumps > 0 else { return [step] }
    return (0...jumps).map { $0 * step / jumps }
  }

  /// The request that a point is a place of.
  ///
  /// - Parameter point: its number.
  /// - Returns: the request for its picture.
  package func request(_ point: Int) -> GenerationRequest {
    var request = GenerationRequest(prompt: prompts[prompt(of: point)])
    (request.width, request.height) = (side, side)
    // Far from the small numbers that people compare pictures with.
    request.seed = 0x5EED_0000 + UInt64(point)
    return request
  }
}
