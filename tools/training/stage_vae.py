"""Stage `vae`: trains the autoencoder and measures it on every picture it will be asked for."""

import argparse
import math
import random
import shutil

import numpy as np
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image

import drawings
import networks
from loop import Loop
from presets import AutoencoderTraining, Preset
from workspace import Collection, Workspace, to_tensor, write_json


class Pictures:
    """Draws training batches: items on their background, composed on the device."""

    def __init__(self, collection: Collection, device: torch.device):
        items = [item for item in collection.singles if not item.held_out]
        self.items, self.scenes = items, collection.scenes
        self.scene_fraction = collection.manifest["scene_fraction"]
        self.drawings = _rgba([drawing.pixels for drawing in collection.drawings], device)
        self.halves = _rgba([collection.pixels(scene) for scene in self.scenes], device) if self.scenes else None
        self.names = list(collection.backgrounds)
        self.colours = torch.tensor([collection.backgrounds[name] for name in self.names], device=device).float()

    def batch(self, count: int, crop: int, generator: torch.Generator) -> torch.Tensor:
        """`count` random crops [count, 3, crop, crop] in [-1, 1]. Corners lie on multiples of 8, like latents."""
        draw = random.Random(int(torch.randint(2**62, (1,), generator=generator, device=generator.device)))
        rows = []
        for _ in range(count):
            is_scene = self.scenes and draw.random() < self.scene_fraction
            place = draw.randrange(len(self.scenes if is_scene else self.items))
            item = (self.scenes if is_scene else self.items)[place]
            source = self.halves[place] if is_scene else self.drawings[item.drawings[0]]
            top, left = (8 * draw.randint(0, (drawings.SIZE - crop) // 8) for _ in range(2))
            rows.append((source[:, top : top + crop, left : left + crop], self.names.index(item.background)))
        pixels = torch.stack([row[0] for row in rows])
        colours = self.colours[[row[1] for row in rows]][:, :, None, None]
        alpha = pixels[:, 3:]
        return ((alpha * pixels[:, :3] + (1 - alpha) * colours) / 127.5 - 1).contiguous(
            memory_format=torch.channels_last
        )


def _rgba(pictures: list[np.ndarray], device: torch.device) -> torch.Tensor:
    """uint8 [128, 128, 4] each to float [n, 4, 128, 128]: colour 0 to 255, alpha 0 to 1."""
    values = torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float()
    values[:, 3] /= 255
    return values


def run(workspace: Workspace, preset: Preset, device: torch.device, arguments: argparse.Namespace) -> None:
    """Trains, then writes the folder vae (diffusers' form), vae/quality.json and a picture to look at."""
    collection = Collection(workspace)
    training = preset.autoencoder_training
    torch.manual_seed(arguments.seed)
    model = networks.autoencoder(preset.autoencoder).to(device, memory_format=torch.channels_last)
    if arguments.start:
        networks.start_from(model, arguments.start / "vae")
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    loop = Loop(model, training.schedule, workspace.checkpoints, "vae", arguments.seed)
    loss = _loss(model, Pictures(collection, device), training, networks.is_gpu(device))
    loop.run(loss, stop_after=arguments.stop_after)
    if loop.step < training.schedule.steps:
        return
    loop.use_average()
    _finish(workspace, model.eval(), collection, device, loop.active_seconds)


def _loss(model, pictures: Pictures, training: AutoencoderTraining, fast: bool):
    """The loss of a step: absolute error of pixels and of edges at first, squared error at the end."""
    encoder, decoder = (networks.compiled(part, fast) for part in (model.encoder, model.decoder))
    whole_from = training.schedule.steps * (1 - training.whole_fraction)

    def loss_of_step(step: int, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        is_whole = step >= whole_from
        size = (training.whole_batch, drawings.SIZE) if is_whole else (training.crop_batch, training.crop)
        real = pictures.batch(*size, generator)
        with networks.half_precision(real.device, fast):
            posterior = DiagonalGaussianDistribution(model.quant_conv(encoder(real)).float())
            drawn = decoder(model.post_quant_conv(posterior.sample(generator))).float()
        error = drawn - real
        squared = error.square().mean((1, 2, 3))
        edges = error.diff(dim=3).abs().mean() + error.diff(dim=2).abs().mean()
        weight = 1 - step / training.schedule.steps
        divergence = posterior.kl().mean() * 64 / (real.shape[2] * real.shape[3])  # Per latent position.
        sharpness = error.abs().mean() + 0.5 * edges
        loss = weight * sharpness + (squared + 1e-5).sqrt().mean() + training.kl_weight * divergence
        decibels = -10 * (squared.detach() / 4).log10().mean()
        return loss, {"psnr": decibels, "divergence": divergence.detach()}

    return loss_of_step


@torch.no_grad()
def _finish(workspace: Workspace, model, collection: Collection, device: torch.device, seconds: float) -> None:
    """Sets the scaling factor, saves the model and measures PSNR on all single pictures."""
    means, decibels = [], []
    for start in range(0, len(collection.singles), 16):
        batch = collection.singles[start : start + 16]
        real = to_tensor(np.stack([collection.picture(item) for item in batch]), device)
        mean = model.encode(real).latent_dist.mean
        drawn = ((model.decode(mean).sample.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
        decibels += (-10 * ((drawn - real) / 2).square().mean((1, 2, 3)).log10()).tolist()
        means.append(mean.cpu())
    scale = 1 / torch.cat(means).std().item()
    model.register_to_config(scaling_factor=scale)
    shutil.rmtree(workspace.autoencoder, ignore_errors=True)
    workspace.latents.unlink(missing_ok=True)  # Of an earlier autoencoder.
    model.to("cpu", memory_format=torch.contiguous_format).save_pretrained(workspace.autoencoder)
    quality = _quality(collection, decibels) | {"scaling_factor": scale, "training_seconds": round(seconds)}
    write_json(workspace.autoencoder / "quality.json", quality)
    _comparison(model, collection).save(workspace.autoencoder / "comparison.png")
    print(f"PSNR {quality['psnr_mean']} dB on average, {quality['psnr_lowest']} dB at worst")


def _quality(collection: Collection, decibels: list[float]) -> dict:
    """PSNR over all pictures of one subject, and where it is low."""
    def mean(values) -> float:
        values = list(values)
        return round(sum(values) / len(values), 2) if values else math.nan

    by_drawing: dict[str, list[float]] = {}
    for item, value in zip(collection.singles, decibels):
        drawing = collection.drawings[item.drawings[0]]
        by_drawing.setdefault(f"{drawing.subject.key} {drawing.style}".strip(), []).append(value)
    return {
        "pictures": len(decibels),
        "psnr_mean": mean(decibels),
        "psnr_held_out": mean(v for item, v in zip(collection.singles, decibels) if item.held_out),
        "psnr_lowest": round(min(decibels), 2),
        "psnr_by_background": {
            name: mean(v for item, v in zip(collection.singles, decibels) if item.background == name)
            for name in collection.backgrounds
        },
        "psnr_by_drawing": dict(sorted(((k, mean(v)) for k, v in by_drawing.items()), key=lambda row: row[1])),
    }


def _comparison(model, collection: Collection, columns: int = 10) -> Image.Image:
    """Real pictures and, below each, what the autoencoder makes of them."""
    items = collection.singles[:: max(1, len(collection.singles) // (2 * columns) + 1)][: 2 * columns]
    real = np.stack([collection.picture(item) for item in items])
    values = to_tensor(real, torch.device("cpu"))
    drawn = model.decode(model.encode(values).latent_dist.mean).sample.clamp(-1, 1)
    made = ((drawn.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round().astype(np.uint8)
    rows = [np.concatenate(list(part[start : start + columns]), axis=1)
            for start in range(0, len(items) - len(items) % columns, columns) for part in (real, made)]
    return Image.fromarray(np.concatenate(rows or [np.concatenate(list(real), axis=1)]))
