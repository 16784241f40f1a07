"""Pictures between two prompts and two noises: what people do with diffusers, `torch.lerp` of `encode_prompt` and
spherical interpolation of latents, in one AuraFlow and one FLUX.1 pipeline of the fixtures."""

import numpy as np
import torch

import make_flux_pipelines
import make_pipelines
from common import FIXTURES, quiet, write_json, write_tensors

FOLDER = FIXTURES / "blends"
# AuraFlow's prompts differ in tokens, and masked padding in length; FLUX.1 takes one length.
REQUESTS = {
    "auraflow": dict(
        pipeline="wide-negative", prompt="a photograph of two cats", negative_prompt="blurry, low quality",
        other_prompt="an old lighthouse stands on the cliff by the sea", other_negative_prompt="dark",
        lengths=[24, 32], width=96, height=48, steps=3, guidance_scale=4.0, seed=42, other_seed=7, share=0.3,
        noise_share=0.6,
    ),
    "flux": dict(
        pipeline="dev", prompt="a red fox beside a quiet river", negative_prompt=None, other_prompt="a rocket",
        other_negative_prompt=None, lengths=[24, 24], width=64, height=64, steps=3, guidance_scale=3.5, seed=0,
        other_seed=9, share=0.7, noise_share=0.25,
    ),
}


def slerp(share: float, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The function that community pipelines of diffusers share (in float64)."""
    a, b = first.numpy().astype(np.float64), second.numpy().astype(np.float64)
    dot = np.sum(a * b / (np.linalg.norm(a) * np.linalg.norm(b)))
    if np.abs(dot) > 0.9995:
        result = (1 - share) * a + share * b
    else:
        theta = np.arccos(dot)
        result = np.sin(theta - theta * share) / np.sin(theta) * a + np.sin(theta * share) / np.sin(theta) * b
    return torch.from_numpy(result.astype(np.float32))


def noise(shape: list[int], seed: int) -> torch.Tensor:
    """What a pipeline starts from."""
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))


def padded(values: torch.Tensor, rows: int) -> torch.Tensor:
    """With rows of zeros, as AuraFlow masks its padding."""
    return torch.nn.functional.pad(values, (0, 0, 0, rows - values.shape[1]))


def auraflow(asked: dict) -> dict[str, torch.Tensor]:
    """Embeddings, start and final latents."""
    pipeline = make_pipelines.load(make_pipelines.FOLDER / asked["pipeline"])
    pipeline.set_progress_bar_config(disable=True)
    # Text has no positions: the side matters to mixtures alone, whose first tokens are to meet.
    pipeline.tokenizer.padding_side = "right"
    own, other = (
        pipeline.encode_prompt(prompt, negative, device="cpu", max_sequence_length=length)
        for prompt, negative, length in (
            (asked["prompt"], asked["negative_prompt"], asked["lengths"][0]),
            (asked["other_prompt"], asked["other_negative_prompt"], asked["lengths"][1]),
        )
    )
    rows = max(asked["lengths"])
    mixed = [torch.lerp(padded(own[place], rows), padded(other[place], rows), asked["share"]) for place in (0, 2)]
    scale = pipeline.vae_scale_factor
    shape = [1, pipeline.transformer.config.in_channels, asked["height"] // scale, asked["width"] // scale]
    start = slerp(asked["noise_share"], noise(shape, asked["seed"]), noise(shape, asked["other_seed"]))
    latents = pipeline(
        prompt_embeds=mixed[0], prompt_attention_mask=torch.ones(mixed[0].shape[:2]),
        negative_prompt_embeds=mixed[1], negative_prompt_attention_mask=torch.ones(mixed[1].shape[:2]),
        latents=start, width=asked["width"], height=asked["height"], num_inference_steps=asked["steps"],
        guidance_scale=asked["guidance_scale"], output_type="latent", max_sequence_length=rows,
    ).images
    return {
        "prompt_embeds": mixed[0], "negative_prompt_embeds": mixed[1], "start": start, "latents": latents,
        "other_noise": noise(shape, asked["other_seed"]),
        "other_prompt_embeds": other[0], "other_prompt_attention_mask": other[1],
        "other_negative_prompt_embeds": other[2], "other_negative_prompt_attention_mask": other[3],
    }


def flux(asked: dict) -> dict[str, torch.Tensor]:
    """Embeddings, start and final latents (as an image)."""
    pipeline = make_flux_pipelines.load(make_flux_pipelines.FOLDER / asked["pipeline"])
    pipeline.set_progress_bar_config(disable=True)
    own, other = (
        pipeline.encode_prompt(prompt, None, device="cpu", max_sequence_length=length)
        for prompt, length in zip((asked["prompt"], asked["other_prompt"]), asked["lengths"])
    )
    mixed = [torch.lerp(own[place], other[place], asked["share"]) for place in (0, 1)]
    scale, channels = pipeline.vae_scale_factor, pipeline.transformer.config.in_channels // 4
    height, width = 2 * (asked["height"] // (2 * scale)), 2 * (asked["width"] // (2 * scale))
    shape = [1, channels, height, width]
    start = slerp(asked["noise_share"], noise(shape, asked["seed"]), noise(shape, asked["other_seed"]))
    latents = pipeline(
        prompt_embeds=mixed[0], pooled_prompt_embeds=mixed[1],
        latents=pipeline._pack_latents(start, 1, channels, height, width), width=asked["width"],
        height=asked["height"], num_inference_steps=asked["steps"], guidance_scale=asked["guidance_scale"],
        output_type="latent",
    ).images
    return {
        "prompt_embeds": mixed[0], "pooled_prompt_embeds": mixed[1], "start": start,
        "other_noise": noise(shape, asked["other_seed"]),
        "latents": pipeline._unpack_latents(latents, asked["height"], asked["width"], scale),
        "other_prompt_embeds": other[0], "other_pooled_prompt_embeds": other[1],
    }


def main() -> None:
    quiet()
    for name, make in (("auraflow", auraflow), ("flux", flux)):
        with torch.no_grad():
            write_tensors(FOLDER / f"{name}.safetensors", make(REQUESTS[name]))
    write_json(FOLDER / "requests.json", REQUESTS)


if __name__ == "__main__":
    main()
