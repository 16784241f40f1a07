"""Runs that start from a picture: diffusers' FluxImg2ImgPipeline and FluxInpaintPipeline, and AuraFlow by their recipe
(needs `pipelines`, `flux-pipelines`, `vae`)."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, FluxImg2ImgPipeline, FluxInpaintPipeline
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from safetensors.torch import save_file

import make_flux_pipelines
import make_pipelines
from common import FIXTURES, quiet, write_json, write_tensors
from make_pipelines import check_image
from seeded import Manifest

FOLDER = FIXTURES / "picture-starts"
PROMPT = "a red fox beside a quiet river"


def request(model: str, width: int, height: int, steps: int, strength: float, seed: int, **options) -> dict:
    """What is asked for. `picture` and `mask` are files beside the requests."""
    defaults = dict(
        prompt=PROMPT,
        negative_prompt=None,
        guidance_scale=3.5,
        true_cfg_scale=1.0,
        max_sequence_length=24,
        sigmas=None,
        picture="picture.png",
        mask=None,
        tiny=False,
    )
    return (
        dict(model=model, width=width, height=height, steps=steps, strength=strength, seeds=[seed])
        | defaults
        | options
    )


REQUESTS = {
    "dev-fractional": request("flux-pipelines/dev", 64, 64, 4, 0.6, 0),
    "dev-whole": request("flux-pipelines/dev", 96, 48, 4, 0.5, 7, guidance_scale=7.0),
    "dev-all": request("flux-pipelines/dev", 48, 64, 2, 1.0, 3),
    "dev-mask": request("flux-pipelines/dev", 64, 80, 5, 0.75, 42, mask="mask.png"),
    "dev-mask-all": request("flux-pipelines/dev", 80, 64, 3, 1.0, 2**32 + 5, mask="mask.png"),
    "dev-sigmas": request("flux-pipelines/dev", 64, 32, 4, 0.6, 3, sigmas=[1.0, 0.8, 0.35, 0.1], mask="mask.png"),
    "dev-true-guidance": request(
        "flux-pipelines/dev", 64, 64, 3, 0.9, 11, negative_prompt="blurry, low quality", true_cfg_scale=3.0
    ),
    "dev-tiny": request("flux-pipelines/dev", 64, 48, 4, 0.7, 5, mask="mask.png", tiny=True),
    "schnell": request("flux-pipelines/schnell", 80, 48, 4, 0.3, 4),
    # Not "odd": diffusers takes pictures for latents where latents have three channels.
    "quantizable-mask": request("flux-pipelines/quantizable", 48, 64, 5, 0.8, 6, mask="mask.png"),
    "aura": request("pipelines/square", 64, 64, 4, 0.6, 0, negative_prompt=""),
    "aura-mask": request("pipelines/square", 96, 64, 5, 0.75, 9, negative_prompt="blurry", mask="mask.png"),
    "aura-no-attention": request("pipelines/wide-negative", 64, 64, 3, 1.0, 1, negative_prompt="", mask="mask.png"),
}


def write_pictures() -> None:
    """A smooth picture and a mask with soft edges, neither of any size that is asked for."""
    y, x = np.mgrid[0:57, 0:73] / 60
    planes = [np.sin(5 * x + 2 * y), np.cos(7 * y - 3 * x), np.sin(4 * x * y + 1)]
    Image.fromarray(np.stack([127.5 + 110 * plane for plane in planes], 2).astype(np.uint8)).save(FOLDER / "picture.png")
    distance = np.hypot(x - 0.7, y - 0.4)
    Image.fromarray((255 * np.clip(1.5 - 3 * distance, 0, 1)).astype(np.uint8)).save(FOLDER / "mask.png")


def tiny_autoencoder() -> AutoencoderTiny:
    """The one of `vae/tiny-both`."""
    with tempfile.TemporaryDirectory() as name:
        folder = FIXTURES / "vae" / "tiny-both"
        (Path(name) / "config.json").write_text((folder / "config.json").read_text())
        state = Manifest.read(folder / "weights.json").state_dict()
        save_file(state, Path(name) / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
        return AutoencoderTiny.from_pretrained(name).eval()


def generate_flux(asked: dict, picture, mask) -> tuple[torch.Tensor, Image.Image]:
    """Final latents and the picture."""
    text_to_image = make_flux_pipelines.load(FIXTURES / asked["model"])
    kind = FluxInpaintPipeline if mask else FluxImg2ImgPipeline
    components = text_to_image.components
    if asked["tiny"]:
        components["vae"] = tiny_autoencoder()
    pipeline = kind(**components)
    pipeline.set_progress_bar_config(disable=True)
    kept = {}

    def keep_latents(_, step, timestep, values):
        kept["latents"] = values["latents"]
        return values

    image = pipeline(
        prompt=asked["prompt"],
        negative_prompt=asked["negative_prompt"],
        true_cfg_scale=asked["true_cfg_scale"],
        image=picture,
        **({"mask_image": mask} if mask else {}),
        width=asked["width"],
        height=asked["height"],
        strength=asked["strength"],
        num_inference_steps=asked["steps"],
        sigmas=asked["sigmas"],
        guidance_scale=asked["guidance_scale"],
        generator=torch.Generator("cpu").manual_seed(asked["seeds"][0]),
        max_sequence_length=asked["max_sequence_length"],
        callback_on_step_end=keep_latents,
    ).images[0]
    latents = pipeline._unpack_latents(
        kept["latents"], asked["height"], asked["width"], pipeline.vae_scale_factor
    )
    return latents, image


def generate_aura(asked: dict, picture, mask) -> tuple[torch.Tensor, Image.Image]:
    """The same recipe around AuraFlowPipeline: a cut schedule, mixed latents, and the mask after each step."""
    pipeline = make_pipelines.load(FIXTURES / asked["model"])
    pipeline.set_progress_bar_config(disable=True)
    scheduler, vae = pipeline.scheduler, pipeline.vae
    width, height, steps = asked["width"], asked["height"], asked["steps"]
    generator = torch.Generator("cpu").manual_seed(asked["seeds"][0])
    planes = VaeImageProcessor(vae_scale_factor=16).preprocess(picture, height=height, width=width)
    with torch.no_grad():
        encoded = vae.encode(planes).latent_dist.sample(generator) * vae.config.scaling_factor
    noise = torch.randn(encoded.shape, generator=generator)
    start = int(max(steps - min(steps * asked["strength"], steps), 0))
    scheduler.set_timesteps(steps)
    sigmas = scheduler.sigmas[start:].clone()
    set_timesteps = scheduler.set_timesteps

    def set_cut_timesteps(*args, **kwargs):
        set_timesteps(steps)
        scheduler.timesteps, scheduler.sigmas = scheduler.timesteps[start:], scheduler.sigmas[start:]
        scheduler.num_inference_steps = len(scheduler.timesteps)

    scheduler.set_timesteps = set_cut_timesteps
    keeps = None
    if mask is not None:
        processor = VaeImageProcessor(
            vae_scale_factor=16, do_normalize=False, do_binarize=True, do_convert_grayscale=True
        )
        repainted = processor.preprocess(mask, height=height, width=width)
        keeps = torch.nn.functional.interpolate(repainted, size=encoded.shape[-2:]) == 0
    kept = {}

    def restore(_, step, timestep, values):
        latents = values["latents"]
        if keeps is not None:
            sigma = sigmas[step + 1]
            latents = torch.where(keeps, sigma * noise + (1 - sigma) * encoded, latents)
        kept["latents"] = latents
        return {"latents": latents}

    image = pipeline(
        prompt=asked["prompt"],
        negative_prompt=asked["negative_prompt"],
        width=width,
        height=height,
        num_inference_steps=len(sigmas) - 1,
        guidance_scale=asked["guidance_scale"],
        latents=sigmas[0] * noise + (1 - sigmas[0]) * encoded,
        max_sequence_length=asked["max_sequence_length"],
        callback_on_step_end=restore,
    ).images[0]
    return kept["latents"], image


def main() -> None:
    quiet()
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_pictures()
    for name, asked in REQUESTS.items():
        picture = Image.open(FOLDER / asked["picture"]).convert("RGB")
        mask = Image.open(FOLDER / asked["mask"]) if asked["mask"] else None
        generate = generate_aura if asked["model"].startswith("pipelines/") else generate_flux
        latents, image = generate(asked, picture, mask)
        check_image(name, image)
        assert image.size == (asked["width"], asked["height"]), (name, image.size)
        write_tensors(FOLDER / f"{name}.safetensors", {"latents": latents})
        image.save(FOLDER / f"{name}.png")
    write_json(FOLDER / "requests.json", [{"name": name} | asked for name, asked in REQUESTS.items()])


if __name__ == "__main__":
    main()
