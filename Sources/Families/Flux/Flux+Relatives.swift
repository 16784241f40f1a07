import Checkpoints

extension Flux {
  /// Files that have the names of FLUX.1's transformer, or come under its name, and are not run; in
  /// the order in which they decide.
  static let relatives = [
    // Shared modulation instead of one in each layer, no biases.
    RelatedKind(
      "a FLUX.2 transformer", advice: nil, .names(["double_stream_modulation_img"]),
      .pipelineClass("Flux2Pipeline"), .pipelineClass("Flux2KleinPipeline")),
    // Schnell with a small network in the place of all modulations.
    RelatedKind(
      "a Chroma transformer", advice: nil, .names(["distilled_guidance_layer."]),
      .pipelineClass("ChromaPipeline"), .pipelineClass("ChromaImg2ImgPipeline")),
    // diffusers' names, then XLabs'.
    RelatedKind(
      "a ControlNet of FLUX.1", advice: "ControlNets are not run",
      .names(["controlnet_x_embedder.", "context_embedder."]),
      .names(["controlnet_blocks.", "double_blocks."]), .pipelineClass("FluxControlNetPipeline")),
    RelatedKind(
      "FLUX.1 Redux", advice: "it makes prompts of pictures, which is not supported",
      .names(["redux_up."]), .pipelineClass("FluxPriorReduxPipeline")),
    RelatedKind(
      "a LoRA adapter of FLUX.1 for pictures as input (Canny or Depth)",
      advice: "pictures as input are not supported",
      .names(["img_in.lora_A.", ".norm.key_norm.scale"])),
    RelatedKind(
      "FLUX.1 Fill", advice: picturesAsInput,
      .inputs(of: "img_in", times: 6, outputsOf: "final_layer.linear"),
      .pipelineClass("FluxFillPipeline")),
    RelatedKind(
      "FLUX.1 Canny or Depth", advice: picturesAsInput,
      .inputs(of: "img_in", times: 2, outputsOf: "final_layer.linear"),
      .pipelineClass("FluxControlPipeline")),
    RelatedKind(
      "FLUX.1 Kontext", advice: picturesAsInput, .pipelineClass("FluxKontextPipeline"),
      .pipelineClass("FluxKontextInpaintPipeline")),
    // Its tensors are those of FLUX.1-dev.
    RelatedKind(
      "FLUX.1 Kontext",
      advice: picturesAsInput + ", or rename what only its name or title calls Kontext",
      .title("kontext")),
  ]

  private static let picturesAsInput =
    "it takes a picture as input, which is not supported; take FLUX.1 dev or schnell"
}
