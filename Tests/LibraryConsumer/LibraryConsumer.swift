import TextToImage

/// What another program does with the library. It is built under another package's name, so that it
/// sees what others see: `LibraryConsumerTests` runs it.
@main
struct LibraryConsumer {
  static func main() async throws {
    let pipeline = try Pipeline(path: CommandLine.arguments[1])
    var request = GenerationRequest(prompt: "a red apple")
    request.steps = 2
    let result = try await pipeline.generate(request) { progress in
      if progress.stage == .denoising {
        print("step", progress.step, progress.sigma, progress.latents.count)
      }
    }
    print(result.images[0].width, try result.images[0].pngData().count > 100)
    // A step's latents may be changed: those of the last one are what comes out.
    let changed = try await pipeline.generate(
      request,
      onStepEnd: { step in
        if step.step == step.stepCount { step.latents = step.latents.map { $0.map { _ in 0.5 } } }
      })
    print(changed.latents.allSatisfy { $0 == 0.5 })
    do {
      _ = try await pipeline.generate(request, onStepEnd: { $0.isCancelled = $0.step == 1 })
    } catch {
      if case .cancelled = error { print("ended") }
    }
    do {
      _ = try await pipeline.generate(request, onStepEnd: { $0.latents = [[1, 2]] })
    } catch {
      if case .invalidRequest = error { print("refused") }
    }
    let task = Task { [request] in
      var long = request
      long.steps = 10_000
      return try await pipeline.generate(long)
    }
    try await Task.sleep(for: .milliseconds(300))
    task.cancel()
    do {
      _ = try await task.value
    } catch GenerationError.cancelled {
      print("cancelled")
    }
    do {
      _ = try Pipeline(path: "missing.gguf")
    } catch {
      print(error.kind)
    }
  }
}
