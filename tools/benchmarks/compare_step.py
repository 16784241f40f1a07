#!/usr/bin/env python3
"""Compares a whole step of FLUX.1's transformer with diffusers, both with weights from the same GGUF file.

    auraflow synthesize --preset flux-schnell --type q4_K flux-schnell.gguf
    auraflow convert flux-schnell.gguf transformer.gguf --type q4_K --part transformer
    python3 -m venv .venv && .venv/bin/pip install torch diffusers accelerate gguf
    .venv/bin/python tools/benchmarks/compare_step.py transformer.gguf --size 512

diffusers opens the file with GGUFQuantizationConfig, which decodes a matrix whenever it is used, and computes in float32;
the program runs `bench step`. Both go from packed latents to a velocity, with as many text tokens as the variant has by
default. diffusers evaluates the modulation at every step, the program once for a schedule; that is not counted here.
Prints Markdown, with the most memory that diffusers' side had resident.
"""

import importlib.metadata
import json
import pathlib
import sys
import tempfile
import time

import gguf
import torch
from diffusers import FluxTransformer2DModel, GGUFQuantizationConfig

import common


def peak_mebibytes() -> int:
    """The most that this process ever had resident."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def open_in_diffusers(path: str, has_guidance: bool, folder: str) -> FluxTransformer2DModel:
    """The published sizes are the defaults of diffusers' class."""
    config = {"_class_name": "FluxTransformer2DModel", "guidance_embeds": has_guidance}
    (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
    return FluxTransformer2DModel.from_single_file(
        path, config=folder, quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32),
        torch_dtype=torch.float32).eval()


def inputs(size: int, text_tokens: int, has_guidance: bool) -> dict[str, torch.Tensor]:
    """Random latents of a square picture and a random prompt."""
    side = size // 16
    places = torch.zeros(side, side, 3)
    places[..., 1] += torch.arange(side)[:, None]
    places[..., 2] += torch.arange(side)[None, :]
    result = {
        "hidden_states": torch.randn(1, side * side, 64), "encoder_hidden_states": torch.randn(1, text_tokens, 4096),
        "pooled_projections": torch.randn(1, 768), "timestep": torch.tensor([0.5]),
        "img_ids": places.reshape(-1, 3), "txt_ids": torch.zeros(text_tokens, 3)}
    return result | ({"guidance": torch.tensor([3.5])} if has_guidance else {})


def main():
    parser = common.parser(__doc__)
    parser.add_argument("transformer", help="a GGUF of FLUX.1's transformer by itself")
    parser.add_argument("--size", type=int, default=512, help="width and height")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    common.print_head(options, {name: importlib.metadata.version(name) for name in ("torch", "diffusers", "gguf")})
    has_guidance = any(
        tensor.name.startswith("guidance_in") for tensor in gguf.GGUFReader(options.transformer).tensors)
    text_tokens = 512 if has_guidance else 256
    program = common.Program(options)
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        model = open_in_diffusers(options.transformer, has_guidance, folder)
        arguments = inputs(options.size, text_tokens, has_guidance)
        theirs, ours = [], []
        for _ in range(options.rounds):
            start = time.perf_counter()
            model(**arguments)
            theirs.append({"seconds": time.perf_counter() - start})
            time.sleep(0.3)  # Threads of OpenMP go on spinning for a while.
            ours.append(program.bench(
                "step", "--transformer", options.transformer, "-W", str(options.size), "-H", str(options.size)))
    common.print_columns("size", "text tokens", "diffusers s", "diffusers MiB", "our step s", "ratio")
    slow, fast = common.middle(theirs)["seconds"], common.middle(ours)["seconds"]
    common.print_row(
        options.size, text_tokens, f"{slow:.1f}", peak_mebibytes(), f"{fast:.1f}", f"{slow / fast:.2f}")


if __name__ == "__main__":
    main()
