"""One pipeline's weights in the file formats people share: single file, GGUF, LDM VAE, sharded safetensors.

The pictures' errors have two parts, that of a quantized type and that of the runtime; `expected.safetensors` holds
the final latents that diffusers gets from the *dequantized* weights, which leaves the runtime's part.
"""

import json
import re
from pathlib import Path

import gguf
import numpy as np
import torch
from diffusers.loaders import single_file_utils
from gguf import GGMLQuantizationType, quants
from safetensors.torch import load_file

import make_pipelines
import vocabulary
from common import FIXTURES, quiet, write_json, write_tensors

CASE = "quantizable"
FOLDER = FIXTURES / "checkpoints"

TRANSFORMER_GLOBALS = {
    "pos_embed.pos_embed": "positional_encoding",
    "register_tokens": "register_tokens",
    "pos_embed.proj.weight": "init_x_linear.weight",
    "pos_embed.proj.bias": "init_x_linear.bias",
    "time_step_proj.linear_1.weight": "t_embedder.mlp.0.weight",
    "time_step_proj.linear_1.bias": "t_embedder.mlp.0.bias",
    "time_step_proj.linear_2.weight": "t_embedder.mlp.2.weight",
    "time_step_proj.linear_2.bias": "t_embedder.mlp.2.bias",
    "context_embedder.weight": "cond_seq_linear.weight",
    "proj_out.weight": "final_linear.weight",
    "norm_out.linear.weight": "modF.1.weight",
}
JOINT_PARTS = {
    "attn.to_q": "attn.w2q",
    "attn.to_k": "attn.w2k",
    "attn.to_v": "attn.w2v",
    "attn.to_out.0": "attn.w2o",
    "attn.add_q_proj": "attn.w1q",
    "attn.add_k_proj": "attn.w1k",
    "attn.add_v_proj": "attn.w1v",
    "attn.to_add_out": "attn.w1o",
    "ff.linear_1": "mlpX.c_fc1",
    "ff.linear_2": "mlpX.c_fc2",
    "ff.out_projection": "mlpX.c_proj",
    "ff_context.linear_1": "mlpC.c_fc1",
    "ff_context.linear_2": "mlpC.c_fc2",
    "ff_context.out_projection": "mlpC.c_proj",
    "norm1.linear": "modX.1",
    "norm1_context.linear": "modC.1",
}
SINGLE_PARTS = {
    "attn.to_q": "attn.w1q",
    "attn.to_k": "attn.w1k",
    "attn.to_v": "attn.w1v",
    "attn.to_out.0": "attn.w1o",
    "ff.linear_1": "mlp.c_fc1",
    "ff.linear_2": "mlp.c_fc2",
    "ff.out_projection": "mlp.c_proj",
    "norm1.linear": "modCX.1",
}
# City96's converter and quantizer keep these (and everything that is not a matrix) in the source's float type.
KEPT = (
    "t_embedder.",
    "init_x_linear.",
    "modF.1.",
    "cond_seq_linear.",
    "final_linear.",
    "positional_encoding",
    "register_tokens",
)

TEXT_ENCODER_PARTS = {
    "layer.0.SelfAttention.q": "attn_q",
    "layer.0.SelfAttention.k": "attn_k",
    "layer.0.SelfAttention.v": "attn_v",
    "layer.0.SelfAttention.o": "attn_o",
    "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b",
    "layer.0.layer_norm": "attn_norm",
    "layer.1.DenseReluDense.wi_0": "ffn_gate",
    "layer.1.DenseReluDense.wi_1": "ffn_up",
    "layer.1.DenseReluDense.wo": "ffn_down",
    "layer.1.layer_norm": "ffn_norm",
}

State = dict[str, torch.Tensor]


def original_transformer_name(name: str) -> str:
    """The name in AuraFlow's own files."""
    if name in TRANSFORMER_GLOBALS:
        return TRANSFORMER_GLOBALS[name]
    kind, index, part = re.fullmatch(r"(joint|single)_transformer_blocks\.(\d+)\.(.+)\.weight", name).groups()
    if kind == "joint":
        return f"double_layers.{index}.{JOINT_PARTS[part]}.weight"
    return f"single_layers.{index}.{SINGLE_PARTS[part]}.weight"


def swapped_halves(value: torch.Tensor) -> torch.Tensor:
    """diffusers stores scale before shift in the final modulation, the original shift before scale."""
    return torch.cat(value.chunk(2)[::-1])


def original_transformer(state: State) -> State:
    """The transformer under AuraFlow's own names."""
    return {
        original_transformer_name(name): swapped_halves(value) if name == "norm_out.linear.weight" else value
        for name, value in state.items()
    }


def ldm_vae(state: State, levels: int) -> State:
    """The VAE under LDM names; its attention projections are 1x1 convolutions there."""
    replacements = (
        (r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}"),
        (r"mid_block\.attentions\.0", "mid.attn_1"),
        (r"attn_1\.group_norm", "attn_1.norm"),
        (r"attn_1\.to_([qkv])", r"attn_1.\1"),
        (r"attn_1\.to_out\.0", "attn_1.proj_out"),
        (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
        (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
        (r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{levels - 1 - int(m[1])}.block.{m[2]}"),
        (r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample"),
        (r"conv_shortcut", "nin_shortcut"),
        (r"conv_norm_out", "norm_out"),
    )
    result = {}
    for name, value in state.items():
        for pattern, replacement in replacements:
            name = re.sub(pattern, replacement, name)
        if re.search(r"attn_1\.(q|k|v|proj_out)\.weight", name):
            value = value[:, :, None, None]
        result[name] = value
    return result


def llama_text_encoder_name(name: str) -> str:
    """The name in llama.cpp's T5 encoder files."""
    if name == "shared.weight":
        return "token_embd.weight"
    if name == "encoder.final_layer_norm.weight":
        return "enc.output_norm.weight"
    index, part = re.fullmatch(r"encoder\.block\.(\d+)\.(.+)\.weight", name).groups()
    return f"enc.blk.{index}.{TEXT_ENCODER_PARTS[part]}.weight"


def add(writer: gguf.GGUFWriter, name: str, value: torch.Tensor, kind: GGMLQuantizationType) -> torch.Tensor:
    """Adds a tensor in a type and returns the values that readers will see."""
    data = quants.quantize(value.numpy(), kind)
    writer.add_tensor(name, data, raw_dtype=kind)
    return torch.from_numpy(quants.dequantize(data, kind).astype(np.float32)).reshape(value.shape)


def finish(writer: gguf.GGUFWriter) -> None:
    """Writes everything out."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def float_kind(value: torch.Tensor) -> GGMLQuantizationType:
    """What the converter makes of a float32 tensor."""
    small = value.dim() == 1 or value.numel() <= 1024
    return GGMLQuantizationType.F32 if small else GGMLQuantizationType.F16


def write_transformer(path: Path, state: State, kind: GGMLQuantizationType, file_type: gguf.LlamaFileType) -> State:
    """A city96-style GGUF; returns the dequantized state under diffusers names."""
    writer = gguf.GGUFWriter(path, "aura")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(file_type)
    seen = {}
    originals = original_transformer(state)
    for name in state:
        original = original_transformer_name(name)
        value = originals[original].contiguous()
        quantizable = kind != GGMLQuantizationType.F16 and value.dim() == 2 and not original.startswith(KEPT)
        value = add(writer, original, value, kind if quantizable else float_kind(value))
        seen[name] = swapped_halves(value) if name == "norm_out.linear.weight" else value
    finish(writer)
    return seen


def text_encoder_writer(path: Path, config, file_type: gguf.LlamaFileType) -> gguf.GGUFWriter:
    """A writer of a T5 encoder's GGUF file that has said the sizes, as llama.cpp's converter does."""
    writer = gguf.GGUFWriter(path, "t5encoder")
    writer.add_name("tiny")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(file_type)
    writer.add_context_length(512)
    writer.add_embedding_length(config.d_model)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_block_count(config.num_layers)
    writer.add_head_count(config.num_heads)
    writer.add_key_length(config.d_kv)
    writer.add_value_length(config.d_kv)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
    writer.add_relative_attn_buckets_count(config.relative_attention_num_buckets)
    return writer


def write_text_encoder(
    path: Path, state: State, config, model: bytes, kind: GGMLQuantizationType, file_type: gguf.LlamaFileType
) -> State:
    """A llama.cpp-style GGUF with its tokenizer; returns the dequantized state under its own names."""
    writer = text_encoder_writer(path, config, file_type)
    pieces = vocabulary.pieces(model)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece for piece, _, _ in pieces])
    writer.add_token_scores([score for _, score, _ in pieces])
    writer.add_token_types([kind for _, _, kind in pieces])
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(False)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(True)
    seen = {}
    for name, value in state.items():
        if value.dim() == 1:
            tensor_kind = GGMLQuantizationType.F32
        elif "relative_attention_bias" in name:
            tensor_kind = GGMLQuantizationType.F16
        else:
            tensor_kind = kind
        seen[name] = add(writer, llama_text_encoder_name(name), value.contiguous(), tensor_kind)
    finish(writer)
    return seen


def write_shards(folder: Path, state: State) -> None:
    """A diffusers transformer in two files with an index."""
    names = sorted(state)
    shards = [names[: len(names) // 2], names[len(names) // 2 :]]
    weight_map = {}
    for number, members in enumerate(shards, start=1):
        file = f"diffusion_pytorch_model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_tensors(folder / file, {name: state[name] for name in members})
        weight_map |= {name: file for name in members}
    total = sum(value.numel() * value.element_size() for value in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(folder / "diffusion_pytorch_model.safetensors.index.json", index)


def check_single_file(path: Path, transformer: State, vae: State, vae_config) -> None:
    """diffusers' own converters must turn the single file back into the same weights."""
    tensors = load_file(path)

    def check(prefix: str, convert, state: State) -> None:
        part = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        converted = convert(part)
        assert set(converted) == set(state), set(converted) ^ set(state)
        assert all(torch.equal(converted[name], state[name]) for name in state)

    check("model.", single_file_utils.convert_auraflow_transformer_checkpoint_to_diffusers, transformer)
    check("vae.", lambda part: single_file_utils.convert_ldm_vae_checkpoint(part, vae_config), vae)


def main() -> None:
    quiet()
    source = make_pipelines.FOLDER / CASE
    FOLDER.mkdir(parents=True, exist_ok=True)
    pipeline = make_pipelines.load(source)
    transformer = dict(pipeline.transformer.state_dict())
    encoder = {name: value for name, value in pipeline.text_encoder.state_dict().items() if "embed_tokens" not in name}
    vae = ldm_vae(pipeline.vae.state_dict(), len(pipeline.vae.config.block_out_channels))
    model = (source / "tokenizer" / "tokenizer.model").read_bytes()

    single = {f"model.{name}": value for name, value in original_transformer(transformer).items()}
    single |= {f"vae.{name}": value for name, value in vae.items()}
    prefix = "text_encoders.pile_t5xl."
    single |= {f"{prefix}transformer.{name}": value for name, value in encoder.items()}
    single[f"{prefix}logit_scale"] = torch.tensor(4.6055)
    write_tensors(FOLDER / "single_file_original.safetensors", single)
    check_single_file(
        FOLDER / "single_file_original.safetensors", transformer, pipeline.vae.state_dict(), pipeline.vae.config
    )
    write_tensors(FOLDER / "vae_ldm.safetensors", vae)
    write_shards(FOLDER / "transformer_sharded", transformer)

    types = {
        "F16": (GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
        "Q8_0": (GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    }
    seen: dict[str, State] = {}
    for label, (kind, file_type) in types.items():
        file = f"transformer_{label}.gguf"
        seen[file] = write_transformer(FOLDER / file, transformer, kind, file_type)
        file = f"text_encoder_llamacpp_{label}.gguf"
        seen[file] = write_text_encoder(FOLDER / file, encoder, pipeline.text_encoder.config, model, kind, file_type)

    asked = json.loads((source / "request.json").read_text())
    combinations = {
        "transformer_F16": ["transformer_F16.gguf"],
        "transformer_Q8_0": ["transformer_Q8_0.gguf"],
        "text_encoder_F16": ["text_encoder_llamacpp_F16.gguf"],
        "text_encoder_Q8_0": ["text_encoder_llamacpp_Q8_0.gguf"],
        "both_Q8_0": ["transformer_Q8_0.gguf", "text_encoder_llamacpp_Q8_0.gguf"],
    }
    expected = {}
    for name, files in combinations.items():
        pipeline = make_pipelines.load(source)
        for file in files:
            component = pipeline.transformer if file.startswith("transformer") else pipeline.text_encoder
            component.load_state_dict(seen[file], strict=component is pipeline.transformer)
        expected[name] = make_pipelines.generate(pipeline, asked)[0]["latents"]
    write_tensors(FOLDER / "expected.safetensors", expected)
    write_json(
        FOLDER / "expected.json",
        {
            "pipeline": CASE,
            "golden": "expected.safetensors",
            "latents": {name: {"replaced_by": files} for name, files in combinations.items()},
        },
    )


if __name__ == "__main__":
    main()
