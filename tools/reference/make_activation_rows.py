"""Rows of activations that enter the demo checkpoint's linear layers: `make_activation_rows.py --pipeline DIR`.

The test of how activations are rounded measures on them what 8 bits cost.
"""

import argparse
from pathlib import Path

import torch
from diffusers import AuraFlowPipeline

from common import FIXTURES, quiet, write_tensors
from make_demo_model import PROMPTS, TOKENS

STEPS = 10
ROWS_PER_LAYER = 6


def make(pipeline_folder: Path) -> None:
    """Writes a few rows of each layer, drawn from all steps of the prompts' generations."""
    quiet()
    pipeline = AuraFlowPipeline.from_pretrained(pipeline_folder, dtype=torch.float32)
    seen: dict[str, list[torch.Tensor]] = {}

    def keep(name: str):
        def hook(_, inputs):
            x = inputs[0].detach().reshape(-1, inputs[0].shape[-1])
            if x.shape[1] % 256 == 0:
                seen.setdefault(name, []).append(x)

        return hook

    for part in ("text_encoder", "transformer"):
        for name, layer in getattr(pipeline, part).named_modules():
            if isinstance(layer, torch.nn.Linear):
                layer.register_forward_pre_hook(keep(f"{part}.{name}"))
    for seed, prompt in enumerate(PROMPTS):
        pipeline(
            prompt=prompt, height=128, width=128, max_sequence_length=TOKENS, num_inference_steps=STEPS,
            guidance_scale=3.0, generator=torch.Generator().manual_seed(seed), output_type="latent")
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, calls in seen.items():
        rows = torch.cat(calls)
        tensors[name] = rows[torch.randperm(len(rows), generator=generator)[:ROWS_PER_LAYER]]
    write_tensors(FIXTURES / "activations" / "demo-rows.safetensors", tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, required=True, help="diffusers folder of the demo checkpoint")
    make(parser.parse_args().pipeline)


if __name__ == "__main__":
    main()
