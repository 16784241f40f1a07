"""VAE fixtures: AutoencoderKL variants, a TAESD decoder under its original names, a TAESD with both halves."""

import re

import torch
from diffusers import AutoencoderTiny

import models
import seeded
from common import FIXTURES, write_json, write_tensors

# name: (config, latent sizes)
CASES = {
    "two-levels": (
        dict(block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8, latent_channels=4),
        [(6, 10), (5, 3)],
    ),
    "four-levels": (
        dict(
            block_out_channels=(16, 32, 32, 64),
            layers_per_block=2,
            norm_num_groups=4,
            latent_channels=4,
            scaling_factor=0.5,
        ),
        [(5, 3), (1, 1)],
    ),
    "no-attention": (
        dict(
            block_out_channels=(16, 24, 24),
            layers_per_block=1,
            norm_num_groups=8,
            latent_channels=3,
            mid_block_add_attention=False,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
        [(7, 4)],
    ),
    "single-level": (
        dict(block_out_channels=(32,), layers_per_block=2, norm_num_groups=32, latent_channels=3),
        [(9, 13)],
    ),
}

TINY_SIZES = [(6, 10), (5, 3)]


def decode_all(vae, salt: str, sizes) -> dict[str, torch.Tensor]:
    """Seeded latents, as `vae.decode` takes them, and what it returns."""
    tensors = {}
    for index, (height, width) in enumerate(sizes):
        latents = seeded.tensor(f"{salt}/{index}/latents", [1, vae.config.latent_channels, height, width], 2.5)
        with torch.no_grad():
            tensors[f"run{index}.decoded"] = vae.decode(latents, return_dict=False)[0]
        tensors[f"run{index}.latents"] = latents
        decoded = tensors[f"run{index}.decoded"]
        print(salt, index, tuple(decoded.shape), "std", decoded.std().item(), "max", decoded.abs().max().item())
    return tensors


def tiny_rule(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """(scale, offset) of a TAESD decoder tensor: ReLUs double the fan-in scale, residual tails are damped."""
    if len(shape) == 1:
        return (0.1, 0.5) if name == "19.bias" else (0.1, 0.0)
    fan_in = shape[1] * shape[2] * shape[3]
    boost = {"19.weight": 0.05}.get(name, 0.7 if name.endswith("conv.4.weight") else 1.4)
    return boost * (3 / fan_in) ** 0.5, 0.0


def write_tiny() -> None:
    """The decoder alone; names are the original Sequential indices, one above those of diffusers."""
    folder = FIXTURES / "vae" / "tiny"
    vae = AutoencoderTiny()
    shift = re.compile(r"^layers\.(\d+)\.")
    original = {
        shift.sub(lambda match: f"{int(match[1]) + 1}.", name): value
        for name, value in vae.decoder.state_dict().items()
    }
    manifest = seeded.Manifest.of("vae/tiny", original, tiny_rule)
    back = re.compile(r"^(\d+)\.")
    vae.decoder.load_state_dict(
        {
            back.sub(lambda match: f"layers.{int(match[1]) - 1}.", name): value
            for name, value in manifest.state_dict().items()
        }
    )
    vae.eval()
    decoded = decode_all(vae, "vae/tiny", TINY_SIZES)
    tensors = {
        # diffusers maps the decoder's [0, 1] to [-1, 1] for its pipelines; undo that.
        name: (value + 1) / 2 if name.endswith("decoded") else value
        for name, value in decoded.items()
    }
    write_json(folder / "config.json", {"latent_channels": vae.config.latent_channels})
    manifest.write(folder / "weights.json")
    write_tensors(folder / "golden.safetensors", tensors)


def encode_all(vae, salt: str, sizes) -> dict[str, torch.Tensor]:
    """Seeded pictures of latents of some sizes in [-1, 1], and what the encoder makes of them."""
    tensors = {}
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    for index, (height, width) in enumerate(sizes):
        picture = seeded.tensor(f"{salt}/{index}/picture", [1, 3, factor * height, factor * width], 1.0)
        with torch.no_grad():
            encoded = vae.encode(picture)
        tensors[f"run{index}.picture"] = picture
        if hasattr(encoded, "latents"):
            tensors[f"run{index}.latents"] = encoded.latents
        else:
            tensors[f"run{index}.mean"] = encoded.latent_dist.mean
            tensors[f"run{index}.deviation"] = encoded.latent_dist.std
        print(salt, index, {name: (value.mean().item(), value.std().item()) for name, value in tensors.items()})
    return tensors


def write_tiny_both() -> None:
    """Both halves under diffusers' names, as `AutoencoderTiny` is published."""
    folder = FIXTURES / "vae" / "tiny-both"
    vae = AutoencoderTiny(latent_channels=16)

    def rule(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
        if len(shape) == 1:
            return (0.1, 0.5) if name == "decoder.layers.18.bias" else (0.1, 0.0)
        fan_in = shape[1] * shape[2] * shape[3]
        ends = {"decoder.layers.18.weight": 0.05, "encoder.layers.14.weight": 0.4}
        boost = ends.get(name, 0.7 if name.endswith("conv.4.weight") else 1.4)
        return boost * (3 / fan_in) ** 0.5, 0.0

    manifest = seeded.Manifest.of("vae/tiny-both", vae.state_dict(), rule)
    vae.load_state_dict(manifest.state_dict())
    vae.eval()
    vae.save_config(folder)
    manifest.write(folder / "weights.json")
    write_tensors(folder / "golden.safetensors", encode_all(vae, "vae/tiny-both", TINY_SIZES))


def main() -> None:
    for case, (options, sizes) in CASES.items():
        folder = FIXTURES / "vae" / case
        vae, manifest = models.vae(f"vae/{case}", sample_size=64, **options)
        vae.save_config(folder)
        manifest.write(folder / "weights.json")
        write_tensors(folder / "golden.safetensors", decode_all(vae, f"vae/{case}", sizes))
        write_tensors(folder / "encoder-golden.safetensors", encode_all(vae, f"vae/{case}", sizes))
    write_tiny()
    write_tiny_both()


if __name__ == "__main__":
    main()
