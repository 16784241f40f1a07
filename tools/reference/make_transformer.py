"""AuraFlow transformer fixtures: whole forward passes, and single blocks for one case."""

import torch

import models
import seeded
from common import FIXTURES, write_json, write_tensors

# name: (config, [(latent height, latent width, text rows, zero rows among them, timestep)])
CASES = {
    "heads-16": (
        dict(
            attention_head_dim=16,
            num_attention_heads=2,
            num_mmdit_layers=2,
            num_single_dit_layers=2,
            joint_attention_dim=24,
            pos_embed_max_size=144,
        ),
        [(16, 16, 12, 5, 1.0), (10, 22, 8, 7, 0.5), (18, 6, 5, 0, 0.0017287381)],
    ),
    "heads-8": (
        dict(
            attention_head_dim=8,
            num_attention_heads=5,
            num_mmdit_layers=1,
            num_single_dit_layers=3,
            joint_attention_dim=20,
            pos_embed_max_size=81,
        ),
        [(16, 16, 16, 9, 0.98812157), (10, 18, 6, 1, 0.25), (6, 2, 3, 0, 0.75), (2, 2, 4, 3, 0.1)],
    ),
    "heads-40": (
        dict(
            attention_head_dim=40,
            num_attention_heads=1,
            num_mmdit_layers=2,
            num_single_dit_layers=0,
            joint_attention_dim=16,
            pos_embed_max_size=100,
        ),
        [(18, 6, 10, 4, 0.87116194), (20, 14, 7, 2, 0.33)],
    ),
    "heads-64": (
        dict(
            attention_head_dim=64,
            num_attention_heads=2,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            joint_attention_dim=32,
            pos_embed_max_size=121,
        ),
        [(22, 10, 9, 6, 0.62500068), (12, 12, 2, 1, 1.0)],
    ),
    "three-channels": (
        dict(
            in_channels=3,
            out_channels=3,
            attention_head_dim=12,
            num_attention_heads=4,
            num_mmdit_layers=1,
            num_single_dit_layers=2,
            joint_attention_dim=10,
            pos_embed_max_size=64,
        ),
        [(14, 6, 8, 4, 0.45)],
    ),
}

BLOCK_CASE = "heads-16"


def record_blocks(model, tensors: dict[str, torch.Tensor]) -> list:
    """Hooks that store what goes into and comes out of the first block of each kind."""

    def hook(prefix: str):
        def store(module, args, kwargs, output):
            for name in ("hidden_states", "encoder_hidden_states", "temb"):
                if kwargs.get(name) is not None:
                    tensors[f"{prefix}.in.{name}"] = kwargs[name]
            names = ("encoder_hidden_states", "hidden_states") if isinstance(output, tuple) else ("hidden_states",)
            outputs = output if isinstance(output, tuple) else (output,)
            for name, value in zip(names, outputs, strict=True):
                tensors[f"{prefix}.out.{name}"] = value

        return store

    return [
        model.joint_transformer_blocks[0].register_forward_hook(hook("joint_block"), with_kwargs=True),
        model.single_transformer_blocks[0].register_forward_hook(hook("single_block"), with_kwargs=True),
    ]


def run(model, salt: str, height: int, width: int, rows: int, zero_rows: int, time: float) -> dict[str, torch.Tensor]:
    """One forward pass on seeded inputs whose last text rows are exactly zero, as padding is."""
    latents = seeded.tensor(f"{salt}/latents", [1, model.config.in_channels, height, width], 1.7)
    text = seeded.tensor(f"{salt}/text", [1, rows, model.config.joint_attention_dim], 1.7)
    text[:, rows - zero_rows :] = 0
    timestep = torch.tensor([time], dtype=torch.float32)
    with torch.no_grad():
        output = model(latents, encoder_hidden_states=text, timestep=timestep, return_dict=False)[0]
    return {"latents": latents, "encoder_hidden_states": text, "timestep": timestep, "output": output}


def main() -> None:
    for case, (options, runs) in CASES.items():
        folder = FIXTURES / "transformer" / case
        salt = f"transformer/{case}"
        model, manifest = models.transformer(salt, sample_size=16, **options)
        tensors: dict[str, torch.Tensor] = {}
        for index, inputs in enumerate(runs):
            record = case == BLOCK_CASE and index == 0
            hooks = record_blocks(model, tensors) if record else []
            result = run(model, f"{salt}/{index}", *inputs)
            for hook in hooks:
                hook.remove()
            tensors |= {f"run{index}.{name}": value for name, value in result.items()}
            print(case, index, "output", result["output"].std().item(), result["output"].abs().max().item())
        model.save_config(folder)
        manifest.write(folder / "weights.json")
        write_tensors(folder / "golden.safetensors", tensors)


if __name__ == "__main__":
    main()
