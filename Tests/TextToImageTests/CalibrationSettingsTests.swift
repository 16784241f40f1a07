import TestSupport
import Testing
import TextToImage

@Suite("On what weights are calibrated")
struct CalibrationSettingsTests {
  private func settings(_ prompts: Int, points: Int) -> CalibrationSettings {
    var settings = CalibrationSettings(prompts: (0..<prompts).map { "prompt \($0)" }, side: 64)
    settings.points = points
    return settings
  }

  @Test(
    "points lie evenly over the steps of a schedule", arguments: [1, 4, 20, 28, 50],
    [8, 24, 64, 128, 1000])
  func steps(_ steps: Int, points: Int) {
    var counts = [Int](repeating: 0, count: steps)
    for point in 0..<points {
      let step = CalibrationSettings.step(of: point, of: steps)
      #expect(counts.indices.contains(step))
      counts[min(max(0, step), steps - 1)] += 1
    }
    let mean = Double(points) / Double(steps)
    #expect(counts.allSatisfy { abs(Double($0) - mean) < 2 }, "\(counts)")
  }

  @Test("a path goes from noise to its step, forwards, in few jumps")
  func paths() {
    for step in 0..<60 {
      let path = CalibrationSettings.path(to: step)
      #expect(path.first == 0 && path.last == step, "\(path)")
      #expect(zip(path, path.dropFirst()).allSatisfy { $0 < $1 }, "\(path)")
      #expect(path.count == min(step, CalibrationSettings.pathSteps) + 1)
    }
  }

  @Test("all prompts are used alike", arguments: [1, 3, 8, 20], [1, 8, 64, 100])
  func fewPrompts(_ prompts: Int, points: Int) {
    let settings = settings(prompts, points: points)
    var counts = [Int](repeating: 0, count: prompts)
    for point in 0..<points { counts[settings.prompt(of: point)] += 1 }
    let (least, most) = (points / prompts, (points + prompts - 1) / prompts)
    #expect(counts.allSatisfy { $0 == least || $0 == most }, "\(counts)")
  }

  @Test("of more prompts than points each is used once, from the whole list")
  func manyPrompts() {
    let settings = settings(128, points: 24)
    let used = (0..<24).map { settings.prompt(of: $0) }
    #expect(used.first == 0 && used.last == 122)
    #expect(zip(used, used.dropFirst()).allSatisfy { $1 - $0 == 5 || $1 - $0 == 6 }, "\(used)")
  }

  @Test("each point has a picture of its own")
  func requests() {
    let settings = settings(3, points: 8)
    let requests = (0..<8).map { settings.request($0) }
    #expect(requests.map(\.prompt).prefix(4) == ["prompt 0", "prompt 1", "prompt 2", "prompt 0"])
    #expect(requests.allSatisfy { $0.width == 64 && $0.height == 64 })
    #expect(Set(requests.map(\.seed)).count == 8)
  }
}
