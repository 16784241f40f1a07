#!/usr/bin/env python3
"""Peak memory and speed of diffusers with the same quantized transformer.

    auraflow synthesize --preset auraflow-v0.3 --type q4_K full.gguf
    auraflow convert full.gguf transformer.gguf --part transformer --type q4_K
    python tools/benchmarks/memory_diffusers.py transformer.gguf --size 512

Loads the transformer alone (no text encoder, no VAE) with GGUFQuantizationConfig, which keeps the blocks and decodes
each matrix when it is used, and makes one step with both branches of guidance in float32: 256 tokens of text each, of
which 32 count. Prints Markdown. Needs torch, diffusers, accelerate, gguf.
"""

import argparse
import importlib.metadata
import json
import pathlib
import re
import tempfile
import time

import torch
from diffusers import AuraFlowTransformer2DModel, GGUFQuantizationConfig


# AuraFlow v0.3.
CONFIGURATION = {
    "_class_name": "AuraFlowTransformer2DModel", "attention_head_dim": 256, "caption_projection_dim": 3072,
    "in_channels": 4, "joint_attention_dim": 2048, "num_attention_heads": 12, "num_mmdit_layers": 4,
    "num_single_dit_layers": 32, "out_channels": 4, "patch_size": 2, "pos_embed_max_size": 9216, "sample_size": 64,
}


def status(key: str) -> float:
    """A number of /proc/self/status in MiB."""
    text = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"^{key}:\s*(\d+)", text, re.MULTILINE).group(1)) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transformer", help="GGUF file with nothing but the transformer")
    parser.add_argument("--size", type=int, default=512, help="width and height of the picture")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "transformer").mkdir()
        (pathlib.Path(folder) / "transformer/config.json").write_text(json.dumps(CONFIGURATION))
        model = AuraFlowTransformer2DModel.from_single_file(
            options.transformer, config=folder, subfolder="transformer", torch_dtype=torch.float32,
            quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32))
    loaded = time.monotonic() - start
    side = options.size // 8
    latents = torch.randn(2, 4, side, side, generator=torch.Generator().manual_seed(0))
    text = torch.randn(2, 256, 2048, generator=torch.Generator().manual_seed(1))
    text[:, 32:] = 0
    seconds = []
    with torch.inference_mode():
        for _ in range(options.steps):
            start = time.monotonic()
            model(hidden_states=latents, encoder_hidden_states=text, timestep=torch.tensor([0.5, 0.5]))
            seconds.append(time.monotonic() - start)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "diffusers", "gguf"))
    print("| program | size | peak MiB | seconds to load | seconds per step |\n|---|---|---:|---:|---:|")
    print(f"| {versions} | {options.size}x{options.size} | {status('VmHWM'):.0f} | {loaded:.0f} | {min(seconds):.1f} |")


if __name__ == "__main__":
    main()
