"""Packs a diffusers AuraFlow folder into one self-contained GGUF file.

    python tools/export/export_gguf.py PIPELINE_FOLDER models/auraflow-icons.gguf --name "..." \
        --width 128 --height 128 --steps 20 --guidance 3 --max-sequence-length 16

The file holds the transformer under the original release's names, the text encoder under llama.cpp's
(`enc.blk.*`), the autoencoder under LDM names with the prefix `vae.`, the tokenizer as
`tokenizer.huggingface.json`, and the sizes and defaults that tensors cannot tell as `aura.*` metadata.
Matrices keep 16 bits, vectors get 32. Needs the packages of tools/reference/requirements.txt.
"""

import argparse
import json
import pathlib
import re

import numpy as np
from gguf import GGML_QUANT_VERSION, GGUFWriter, LlamaFileType
from safetensors.numpy import load_file
from transformers import LlamaTokenizer

TRANSFORMER = {
    "pos_embed.pos_embed": "positional_encoding",
    "pos_embed.proj": "init_x_linear",
    "time_step_proj.linear_1": "t_embedder.mlp.0",
    "time_step_proj.linear_2": "t_embedder.mlp.2",
    "context_embedder": "cond_seq_linear",
    "proj_out": "final_linear",
    "norm_out.linear": "modF.1",
}
JOINT = {
    "attn.add_q_proj": "attn.w1q", "attn.add_k_proj": "attn.w1k", "attn.add_v_proj": "attn.w1v",
    "attn.to_add_out": "attn.w1o", "attn.to_q": "attn.w2q", "attn.to_k": "attn.w2k",
    "attn.to_v": "attn.w2v", "attn.to_out.0": "attn.w2o", "ff_context.linear_1": "mlpC.c_fc1",
    "ff_context.linear_2": "mlpC.c_fc2", "ff_context.out_projection": "mlpC.c_proj",
    "ff.linear_1": "mlpX.c_fc1", "ff.linear_2": "mlpX.c_fc2", "ff.out_projection": "mlpX.c_proj",
    "norm1_context.linear": "modC.1", "norm1.linear": "modX.1",
}
SINGLE = {
    "attn.to_q": "attn.w1q", "attn.to_k": "attn.w1k", "attn.to_v": "attn.w1v",
    "attn.to_out.0": "attn.w1o", "ff.linear_1": "mlp.c_fc1", "ff.linear_2": "mlp.c_fc2",
    "ff.out_projection": "mlp.c_proj", "norm1.linear": "modCX.1",
}
TEXT = {
    "layer.0.layer_norm": "attn_norm", "layer.0.SelfAttention.q": "attn_q",
    "layer.0.SelfAttention.k": "attn_k", "layer.0.SelfAttention.v": "attn_v",
    "layer.0.SelfAttention.o": "attn_o",
    "layer.0.SelfAttention.relative_attention_bias": "attn_rel_b",
    "layer.1.layer_norm": "ffn_norm", "layer.1.DenseReluDense.wi_0": "ffn_gate",
    "layer.1.DenseReluDense.wi_1": "ffn_up", "layer.1.DenseReluDense.wo": "ffn_down",
}
VAE = [
    (r"conv_norm_out", "norm_out"), (r"mid_block\.resnets\.0", "mid.block_1"),
    (r"mid_block\.resnets\.1", "mid.block_2"), (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"down_blocks\.(\d+)\.resnets", r"down.\1.block"),
    (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d+)\.resnets", r"up.\1.block"), (r"up_blocks\.(\d+)\.upsamplers\.0", r"up.\1.upsample"),
    (r"conv_shortcut", "nin_shortcut"),
]


def split(name: str) -> tuple[str, str]:
    """The module and the parameter of a tensor name."""
    module, _, parameter = name.rpartition(".")
    return (module, "." + parameter) if parameter in ("weight", "bias") else (name, "")


def transformer_name(name: str) -> str:
    """The original release's name for a diffusers transformer tensor."""
    module, parameter = split(name)
    if match := re.fullmatch(r"joint_transformer_blocks\.(\d+)\.(.+)", module):
        return f"double_layers.{match[1]}.{JOINT[match[2]]}{parameter}"
    if match := re.fullmatch(r"single_transformer_blocks\.(\d+)\.(.+)", module):
        return f"single_layers.{match[1]}.{SINGLE[match[2]]}{parameter}"
    return TRANSFORMER.get(module, module) + parameter


def text_encoder_name(name: str) -> str | None:
    """llama.cpp's name for a Hugging Face T5 tensor; None for the embedding's second name."""
    module, parameter = split(name)
    if match := re.fullmatch(r"encoder\.block\.(\d+)\.(.+)", module):
        return f"enc.blk.{match[1]}.{TEXT[match[2]]}{parameter}"
    names = {"shared": "token_embd", "encoder.final_layer_norm": "enc.output_norm"}
    return names[module] + parameter if module in names else None


def vae_name(name: str, levels: int) -> str:
    """The LDM name for a diffusers autoencoder tensor; decoder levels count from the other end."""
    for pattern, replacement in VAE:
        name = re.sub(pattern, replacement, name)
    return "vae." + re.sub(r"decoder\.up\.(\d+)", lambda m: f"decoder.up.{levels - 1 - int(m[1])}", name)


def load(folder: pathlib.Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The configuration and the weights of one component."""
    (weights,) = folder.glob("*.safetensors")
    return json.loads((folder / "config.json").read_text()), load_file(weights)


def add(writer: GGUFWriter, name: str, values: np.ndarray) -> None:
    """Adds a tensor: 16 bits for matrices and kernels, 32 for vectors."""
    assert len(name.encode()) < 64, name
    is_vector = sum(side > 1 for side in values.shape) <= 1
    writer.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32 if is_vector else np.float16))


def add_tensors(writer: GGUFWriter, pipeline: pathlib.Path) -> None:
    """Adds all parts and the metadata that their tensors cannot tell."""
    config, weights = load(pipeline / "transformer")
    writer.add_uint32("aura.attention.key_length", config["attention_head_dim"])
    writer.add_uint32("aura.patch_size", config["patch_size"])
    for name, values in weights.items():
        if name == "norm_out.linear.weight":  # scale, shift -> shift, scale
            values = np.concatenate(np.split(values, 2)[::-1])
        add(writer, transformer_name(name), values)
    config, weights = load(pipeline / "text_encoder")
    writer.add_uint32("aura.text_encoder.relative_max_distance", config["relative_attention_max_distance"])
    writer.add_float32("aura.text_encoder.layer_norm_epsilon", config["layer_norm_epsilon"])
    for name, values in weights.items():
        if translated := text_encoder_name(name):
            add(writer, translated, values)
    config, weights = load(pipeline / "vae")
    writer.add_uint32("aura.vae.norm_groups", config["norm_num_groups"])
    writer.add_float32("aura.vae.scaling_factor", config["scaling_factor"])
    for name, values in weights.items():
        add(writer, vae_name(name, len(config["block_out_channels"])), values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--height", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--guidance", type=float, required=True)
    parser.add_argument("--max-sequence-length", type=int, required=True)
    arguments = parser.parse_args()

    writer = GGUFWriter(str(arguments.output), "aura")
    writer.add_name(arguments.name)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_uint32("aura.default.width", arguments.width)
    writer.add_uint32("aura.default.height", arguments.height)
    writer.add_uint32("aura.default.steps", arguments.steps)
    writer.add_float32("aura.default.guidance_scale", arguments.guidance)
    writer.add_uint32("aura.default.max_sequence_length", arguments.max_sequence_length)
    scheduler = json.loads((arguments.pipeline / "scheduler" / "scheduler_config.json").read_text())
    writer.add_float32("aura.scheduler.shift", scheduler["shift"])
    writer.add_uint32("aura.scheduler.train_timesteps", scheduler["num_train_timesteps"])
    # The pipeline that the reference runs, which is not the one that tokenizer.json describes.
    tokenizer = LlamaTokenizer.from_pretrained(arguments.pipeline / "tokenizer").backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    writer.add_string("tokenizer.huggingface.json", tokenizer.to_str())
    add_tensors(writer, arguments.pipeline)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
