import AuraFlowFamily
import Checkpoints
import ModelFiles
import TestSupport
import Testing

@Suite("What a file is that holds no part of a model")
struct ModelKindTests {
  typealias Tensor = RawSafetensors.Tensor

  static let cases: [(kind: String, names: [String])] = [
    (
      "a LoRA adapter of AuraFlow (rank 4, for 1 module of the transformer)",
      ["transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight"]
    ),
    (
      "a LoRA adapter of FLUX.1 (rank 4, for 1 module of the transformer; 1 match nothing)",
      ["lora_unet_single_blocks_0_linear1.lora_down.weight", "lora_te1_text_model.lora_up.weight"]
    ),
    ("a DoRA adapter", ["diffusion_model.a.lora_A.weight", "diffusion_model.a.dora_scale"]),
    ("a LoKr adapter", ["lora_unet_a.lokr_w1", "lora_unet_a.lokr_w2"]),
    ("a Stable Diffusion 3 transformer", ["joint_blocks.0.x_block.attn.qkv.weight"]),
    (
      "a Stable Diffusion XL model",
      [
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.label_emb.0.0.weight",
      ]
    ),
    (
      "a Stable Diffusion 1 or 2 model",
      ["input_blocks.0.0.weight", "middle_block.0.in_layers.0.weight"]
    ),
    ("a CLIP text encoder", ["text_model.encoder.layers.0.self_attn.q_proj.weight"]),
    ("an IP-Adapter", ["double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight"]),
    ("a CLIP model with the names of clip.cpp", ["t.blk.0.attn_q.weight"]),
    ("a ControlNet", ["controlnet_blocks.0.weight", "transformer_blocks.0.attn.to_q.weight"]),
    ("an upscaler (ESRGAN)", ["body.0.rdb1.conv1.weight"]),
    ("latents of ComfyUI", ["latent_tensor", "latent_format_version_0"]),
  ]

  @Test("by its tensors' names", arguments: cases)
  func kinds(_ kind: String, _ names: [String]) throws {
    let folder = try TemporaryFolder()
    let tensors = names.map { Tensor($0, [4, 1], [0, 0, 0, 0]) }
    let path = try folder.write(RawSafetensors.encode(tensors), to: "x.safetensors")
    for paths in [ModelPaths(model: path), ModelPaths(transformer: path)] {
      let error = #expect(throws: ModelFileError.self) {
        _ = try PartSources([.transformer], paths, hints: ArchitectureHints())
      }
      #expect(error?.kind == .unsupported)
      #expect(error?.fault.hasPrefix("is \(kind)") == true, "\(error?.fault ?? "")")
    }
    #expect(try ModelInspection(path: path).kind?.hasPrefix(kind) == true)
  }

  @Test("a model of another family is told even where it shares a part")
  func sharedPart() throws {
    let folder = try TemporaryFolder()
    let decoder = ["conv_in.weight", "conv_in.bias", "conv_out.weight", "conv_out.bias"]
      .map { "first_stage_model.decoder.\($0)" }
    let more = ["norm_out.weight", "norm_out.bias"].map { "first_stage_model.decoder.\($0)" }
    let unet = ["input_blocks.0.0.weight", "label_emb.0.0.weight"].map {
      "model.diffusion_model.\($0)"
    }
    let tensors = (decoder + more + unet).map { Tensor($0, [1], [1]) }
    let path = try folder.write(RawSafetensors.encode(tensors), to: "sdxl.safetensors")
    let error = #expect(throws: ModelFileError.self) {
      _ = try PartSources(
        AuraFlow.family.slots, ModelPaths(model: path), hints: ArchitectureHints())
    }
    #expect(error?.fault.hasPrefix("is a Stable Diffusion XL model") == true)
  }
}
