#!/usr/bin/env python3
"""Compares one step through a full-size AuraFlow block with diffusers, both with weights from the same GGUF file.

    swift build -c release --product auraflow
    python3 -m venv .venv && .venv/bin/pip install torch diffusers accelerate gguf
    .venv/bin/python tools/benchmarks/compare_block.py                      # about 10 minutes
    .venv/bin/python tools/benchmarks/compare_block.py --kernels avx2 --types Q8_0 --tokens 1088

For each kind of block (joint, single) and type of weights it writes a transformer with one such block: width 3072, 12
heads of 256, feed-forward part 8192 wide. diffusers opens it with GGUFQuantizationConfig, which decodes a matrix
whenever it is used, and computes in float32; the program runs `bench block`. Both go from latents to a velocity: patches
to tokens, the block, tokens to latents. 1088 tokens are the 1024 of a 512x512 picture, 8 registers and 56 of text; 4200
are the 4096 of a 1024x1024 picture, 8 registers and 96 of text. diffusers evaluates the modulation at every step, the
program once for all steps of a schedule: a 25th of that is added to our step.
"""

import importlib.metadata
import json
import math
import pathlib
import sys
import tempfile

import gguf
import numpy as np
import torch
from diffusers import AuraFlowTransformer2DModel, GGUFQuantizationConfig
from gguf.quants import quantize

import common

WIDTH, FEED_FORWARD, HEAD_WIDTH, TEXT_WIDTH, REGISTERS, POSITIONS = 3072, 8192, 256, 2048, 8, 4096
STEPS = 25
TYPE = gguf.GGMLQuantizationType


def block_shapes(kind: str) -> dict[str, tuple[int, int]]:
    """The matrices of a block under the original release's names."""
    streams = [("attn.w1", "mlpC", "modC"), ("attn.w2", "mlpX", "modX")] if kind == "joint" else [
        ("attn.w1", "mlp", "modCX")]
    prefix = "double_layers.0" if kind == "joint" else "single_layers.0"
    shapes = {}
    for attention, mlp, modulation in streams:
        for name in "qkvo":
            shapes[f"{prefix}.{attention}{name}.weight"] = (WIDTH, WIDTH)
        shapes[f"{prefix}.{mlp}.c_fc1.weight"] = shapes[f"{prefix}.{mlp}.c_fc2.weight"] = (FEED_FORWARD, WIDTH)
        shapes[f"{prefix}.{mlp}.c_proj.weight"] = (WIDTH, FEED_FORWARD)
        shapes[f"{prefix}.{modulation}.1.weight"] = (6 * WIDTH, WIDTH)
    return shapes


def random_weight(kind: TYPE, rows: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """Stored bytes of a random matrix: quantized by gguf-py where it can, else random valid blocks."""
    size = 1 / math.sqrt(columns)
    if kind != TYPE.Q4_K:
        return quantize(generator.standard_normal((rows, columns), dtype=np.float32) * np.float32(size), kind)
    block, byte_count = gguf.GGML_QUANT_SIZES[kind]
    blocks = generator.integers(0, 256, (rows * columns // block, byte_count), dtype=np.uint8)
    # A code (7.5 on average) times a 6-bit scale (31.5) less a 6-bit minimum: zero on average.
    scale = size / (31.5 * 4.6)
    blocks[:, :4] = np.array([scale, 7.5 * scale], np.float16).view(np.uint8)
    return blocks.reshape(rows, -1)


def write_transformer(path: str, kind: str, type_name: str):
    """A transformer with one block."""
    generator = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "aura")

    def plain(name: str, *shape: int):
        values = generator.standard_normal(shape, dtype=np.float32) / math.sqrt(shape[-1])
        writer.add_tensor(name, values.astype(np.float16 if len(shape) > 1 else np.float32))

    plain("positional_encoding", 1, POSITIONS, WIDTH)
    plain("register_tokens", 1, REGISTERS, WIDTH)
    for name, shape in {
        "init_x_linear": (WIDTH, 16), "t_embedder.mlp.0": (WIDTH, 256), "t_embedder.mlp.2": (WIDTH, WIDTH)
    }.items():
        plain(f"{name}.weight", *shape)
        plain(f"{name}.bias", shape[0])
    plain("cond_seq_linear.weight", WIDTH, TEXT_WIDTH)
    plain("modF.1.weight", 2 * WIDTH, WIDTH)
    plain("final_linear.weight", 16, WIDTH)
    stored = TYPE[type_name]
    for name, shape in block_shapes(kind).items():
        writer.add_tensor(name, random_weight(stored, *shape, generator), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def open_in_diffusers(path: str, kind: str, folder: str) -> AuraFlowTransformer2DModel:
    config = {
        "_class_name": "AuraFlowTransformer2DModel", "sample_size": 64, "patch_size": 2, "in_channels": 4,
        "out_channels": 4, "num_mmdit_layers": int(kind == "joint"), "num_single_dit_layers": int(kind == "single"),
        "attention_head_dim": HEAD_WIDTH, "num_attention_heads": WIDTH // HEAD_WIDTH,
        "joint_attention_dim": TEXT_WIDTH, "caption_projection_dim": WIDTH, "pos_embed_max_size": POSITIONS,
    }
    (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
    return AuraFlowTransformer2DModel.from_single_file(
        path, config=folder, quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32),
        torch_dtype=torch.float32).eval()


def compare(options, program: common.Program, kind: str, type_name: str, folder: str):
    path = f"{folder}/{kind}-{type_name}.gguf"
    write_transformer(path, kind, type_name)
    model = open_in_diffusers(path, kind, folder)
    for tokens in map(int, options.tokens.split(",")):
        side = math.isqrt(tokens - REGISTERS - 1)
        latents = torch.randn(1, 4, 2 * side, 2 * side)
        text = torch.randn(1, tokens - side * side - REGISTERS, TEXT_WIDTH)
        time = torch.tensor([0.5])
        times, results = [], []
        for _ in range(options.rounds):
            times.append({"seconds": common.seconds(
                lambda: model(latents, encoder_hidden_states=text, timestep=time), options.repetitions)})
            results.append(program.bench(
                "block", "--transformer", path, "--tokens", str(tokens), "--steps", str(STEPS), "--repetitions",
                str(options.repetitions)))
        theirs, ours = common.middle(times)["seconds"], common.middle(results)
        assert ours["tokens"] == tokens
        modulation = ours["modulationSeconds"] / STEPS
        total = ours["seconds"] + modulation
        common.print_row(
            kind, type_name, f"{side * side} + {ours['contextTokens']}", f"{theirs:.3f}", f"{ours['seconds']:.3f}",
            f"{modulation:.4f}", f"{theirs / total:.2f}")
    del model
    pathlib.Path(path).unlink()


def main() -> int:
    parser = common.parser(__doc__)
    parser.add_argument("--types", default="Q4_K,Q8_0", help="types of weights: Q4_K and what gguf-py can quantize")
    parser.add_argument("--blocks", default="joint,single", help="kinds of blocks")
    parser.add_argument("--tokens", default="1088,4200", help="tokens of image and context together")
    parser.add_argument("--repetitions", type=int, default=2, help="runs of which each measurement is the median")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    common.print_head(options, {name: importlib.metadata.version(name) for name in ("torch", "diffusers", "gguf")})
    common.print_columns(
        "block:", "type:", "tokens (image + context)", "diffusers s", "our step s", "our modulation s per step", "ratio")
    program = common.Program(options)
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        for kind in options.blocks.split(","):
            for type_name in options.types.split(","):
                compare(options, program, kind, type_name, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
