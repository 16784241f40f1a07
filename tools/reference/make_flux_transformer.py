"""FLUX transformer fixtures: whole forward passes, and single blocks for some cases."""

import torch
from diffusers import FluxPipeline

import models
import seeded
from common import FIXTURES, write_tensors


def blocks(
    head: int, heads: int, axes: tuple[int, int, int], double: int, single: int, text: int, pooled: int, **options
) -> dict:
    """Transformer options; without others 16 latent channels (64 features a token) and guidance, as FLUX.1-dev."""
    return dict(
        attention_head_dim=head,
        num_attention_heads=heads,
        axes_dims_rope=axes,
        num_layers=double,
        num_single_layers=single,
        joint_attention_dim=text,
        pooled_projection_dim=pooled,
        **dict(in_channels=64, guidance_embeds=True) | options,
    )


# name: (config, [(latent height, latent width, text rows, timestep, guidance)])
CASES = {
    "heads-16": (
        blocks(16, 3, (4, 6, 6), 2, 3, 20, 12),
        [(8, 12, 7, 1.0, 3.5), (10, 22, 12, 0.5, 1.0), (18, 6, 1, 0.0017287381, 30.0)],
    ),
    "heads-16-schnell": (
        blocks(16, 3, (4, 6, 6), 2, 3, 20, 12, in_channels=16, guidance_embeds=False),
        [(16, 16, 9, 1.0, None), (10, 22, 16, 0.75, None), (18, 6, 5, 0.25, None), (2, 2, 3, 0.1, None)],
    ),
    "heads-24": (
        blocks(24, 2, (4, 10, 10), 1, 2, 24, 16),
        [(12, 8, 10, 0.98812157, 2.5), (6, 14, 5, 0.3, 0.0)],
    ),
    # All three axes differ, so rows and columns cannot be taken for each other.
    "heads-12": (
        blocks(12, 5, (2, 6, 4), 1, 1, 10, 7, in_channels=12, guidance_embeds=False),
        [(6, 10, 4, 0.62500068, None), (14, 4, 8, 0.9, None)],
    ),
    "double-only": (
        blocks(40, 1, (8, 14, 18), 2, 0, 16, 8, in_channels=32),
        [(10, 6, 6, 0.87116194, 3.5)],
    ),
    "single-only": (
        blocks(8, 4, (2, 2, 4), 0, 2, 12, 20, in_channels=8, guidance_embeds=False),
        [(4, 12, 5, 0.45, None)],
    ),
    # Every matrix of a block has rows of 256 values or multiples, which K-quants need.
    "heads-128": (
        blocks(128, 2, (16, 56, 56), 1, 2, 256, 64),
        [(10, 6, 8, 0.71, 3.5), (4, 16, 20, 1.0, 4.0)],
    ),
}

BLOCK_CASES = ("heads-16", "heads-24")


def record_blocks(model, tensors: dict[str, torch.Tensor]) -> list:
    """Hooks that store what goes into and comes out of the first block of each kind, and the rotary table."""

    def hook(prefix: str):
        def store(module, args, kwargs, output):
            for name in ("hidden_states", "encoder_hidden_states", "temb"):
                tensors[f"{prefix}.in.{name}"] = kwargs[name]
            for name, value in zip(("encoder_hidden_states", "hidden_states"), output, strict=True):
                tensors[f"{prefix}.out.{name}"] = value

        return store

    def store_rotary(module, args, output):
        tensors["rotary.cos"], tensors["rotary.sin"] = output

    return [
        model.pos_embed.register_forward_hook(store_rotary),
        model.transformer_blocks[0].register_forward_hook(hook("double_block"), with_kwargs=True),
        model.single_transformer_blocks[0].register_forward_hook(hook("single_block"), with_kwargs=True),
    ]


def run(
    model, salt: str, height: int, width: int, rows: int, time: float, guidance: float | None
) -> dict[str, torch.Tensor]:
    """One forward pass on seeded inputs, with latents as images and packed into tokens."""
    channels = model.config.in_channels // 4
    latents = seeded.tensor(f"{salt}/latents", [1, channels, height, width], 1.7)
    inputs = {
        "hidden_states": FluxPipeline._pack_latents(latents, 1, channels, height, width),
        "encoder_hidden_states": seeded.tensor(f"{salt}/text", [1, rows, model.config.joint_attention_dim], 1.7),
        "pooled_projections": seeded.tensor(f"{salt}/pooled", [1, model.config.pooled_projection_dim], 1.7),
        "timestep": torch.tensor([time], dtype=torch.float32),
    }
    if guidance is not None:
        inputs["guidance"] = torch.tensor([guidance], dtype=torch.float32)
    kept = {}
    hook = model.time_text_embed.register_forward_hook(lambda module, args, output: kept.update(temb=output))
    ids = FluxPipeline._prepare_latent_image_ids(1, height // 2, width // 2, "cpu", torch.float32)
    with torch.no_grad():
        output = model(**inputs, img_ids=ids, txt_ids=torch.zeros(rows, 3), return_dict=False)[0]
    hook.remove()
    velocity = FluxPipeline._unpack_latents(output, height * 8, width * 8, 8)
    return inputs | {"latents": latents, "temb": kept["temb"], "output": output, "velocity": velocity}


def main() -> None:
    for case, (options, runs) in CASES.items():
        folder = FIXTURES / "flux-transformer" / case
        salt = f"flux-transformer/{case}"
        model, manifest = models.flux_transformer(salt, **options)
        tensors: dict[str, torch.Tensor] = {}
        for index, inputs in enumerate(runs):
            record = case in BLOCK_CASES and index == 0
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
