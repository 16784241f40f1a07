"""Stage `adapter`: teaches a finished pipeline a style by a small adapter (LoRA); its own weights stay as they are."""

import argparse
import dataclasses
import functools
import json
import random

import numpy as np
import torch
from diffusers import AuraFlowTransformer2DModel, AutoencoderKL
from transformers import AutoTokenizer, UMT5EncoderModel

import networks
from adapters import Adapter
from drawings import composed
from loop import Loop, step_generator
from porcelain import porcelain
from presets import Preset
from stage_transformer import Losses, Samples
from workspace import Collection, Workspace, to_tensor, write_json

# The layers that see the picture; the text's own are left alone.
LAYERS = r"(joint|single)_transformer_blocks\.\d+\.(attn\.to_(q|k|v|out\.0)|ff\.\w+)"
_HELD_OUT_SUBJECTS = 0.12  # Of all: never seen in the style.


class StyledSamples(Samples):
    """The collection's pictures of one subject in the style, encoded, with the captions of the plain ones.

    `unseen` are the places of subjects that are held out of the adapter's training; so are pairs of subject and
    background that were held out of the model's.
    """

    def __init__(self, collection: Collection, encoder, autoencoder: AutoencoderKL, seed: int, device: torch.device):
        self.collection, self.encoder, self.device = collection, encoder, device
        self.items, self.scenes = collection.singles, range(0)
        count = len(collection.drawings)
        apart = set(random.Random(f"{seed}/adapter").sample(range(count), max(1, round(_HELD_OUT_SUBJECTS * count))))
        self.singles, self.unseen = [], []
        for place, item in enumerate(self.items):
            if item.drawings[0] in apart:
                self.unseen.append(place)
            elif not item.held_out:
                self.singles.append(place)
        self.latents = self._encoded(autoencoder.to(device).eval())

    @torch.no_grad()
    def _encoded(self, autoencoder: AutoencoderKL) -> torch.Tensor:
        """Latents [n, 4, 16, 16] of all pictures, in the order of the items."""
        styled = [porcelain(drawing.pixels) for drawing in self.collection.drawings]
        rows = []
        for start in range(0, len(self.items), 16):
            pictures = np.stack([
                composed(styled[item.drawings[0]], self.collection.backgrounds[item.background])
                for item in self.items[start : start + 16]
            ])
            rows.append(autoencoder.encode(to_tensor(pictures, self.device)).latent_dist.mean)
        return torch.cat(rows) * autoencoder.config.scaling_factor

    def unseen_batches(self, size: int) -> list[tuple[torch.Tensor, list[str]]]:
        """All pictures of subjects that are held out, each with one caption."""
        draw = random.Random("unseen")
        captions = {place: self.collection.caption(self.items[place], draw) for place in self.unseen}
        batches = [self.unseen[start : start + size] for start in range(0, len(self.unseen), size)]
        return [(self.latents[places], [captions[place] for place in places]) for places in batches]


def run(workspace: Workspace, preset: Preset, device: torch.device, arguments: argparse.Namespace) -> None:
    """Writes adapter/porcelain.safetensors (F16) and adapter/numbers.json: losses on unseen subjects before and after."""
    training = preset.adapter_training
    pipeline = workspace.needs(workspace.pipeline, "export")
    collection = Collection(workspace)
    transformer = AuraFlowTransformer2DModel.from_pretrained(pipeline / "transformer", dtype=torch.float32)
    text_encoder = UMT5EncoderModel.from_pretrained(pipeline / "text_encoder", dtype=torch.float32)
    autoencoder = AutoencoderKL.from_pretrained(pipeline / "vae", dtype=torch.float32)
    torch.manual_seed(arguments.seed)
    adapter = Adapter(transformer, LAYERS, training.rank).to(device)
    model = torch.nn.ModuleDict({"transformer": transformer.to(device), "text_encoder": text_encoder.to(device)})
    samples = StyledSamples(collection, _encoder(workspace, preset), autoencoder, arguments.seed, device)
    losses = Losses(
        model, samples, preset.transformer_training, networks.uses_bfloat16(device, arguments.precision)
    )
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    before = _unseen_loss(losses, arguments.seed)
    schedule = training.schedule
    if arguments.steps:
        schedule = dataclasses.replace(schedule, steps=arguments.steps)
    loop = Loop(adapter, schedule, workspace.checkpoints, "adapter", arguments.seed)
    loop.run(functools.partial(losses.of_pictures, arguments.seed), stop_after=arguments.stop_after)
    if loop.step < schedule.steps:
        return
    loop.use_average()
    numbers = {"before": before, "after": _unseen_loss(losses, arguments.seed)}
    unseen = {collection.drawings[samples.items[place].drawings[0]].subject.key for place in samples.unseen}
    workspace.adapter.mkdir(parents=True, exist_ok=True)
    adapter.save(workspace.adapter / "porcelain.safetensors", "transformer", {"style": "porcelain"})
    write_json(workspace.adapter / "numbers.json", {
        "unseen_subjects": sorted(unseen), "loss_on_unseen": numbers, "steps": loop.step,
        "parameters": sum(parameter.numel() for parameter in adapter.parameters()),
        "active_seconds": round(loop.active_seconds, 1),
    })
    print(f"loss on subjects never seen in the style: {numbers['before']:.4f} before, {numbers['after']:.4f} after")


def _encoder(workspace: Workspace, preset: Preset):
    """Captions to ids and masks by the pipeline's own tokenizer, so that any pipeline of this kind can be taught."""
    tokenizer = AutoTokenizer.from_pretrained(workspace.pipeline / "tokenizer")
    lengths = workspace.tokenizer / "lengths.json"
    tokens = json.loads(lengths.read_text())["tokens"] if lengths.exists() else preset.transformer.tokens

    def encode(texts: list[str]) -> tuple[list[list[int]], list[list[int]]]:
        rows = tokenizer(texts, padding="max_length", max_length=tokens, truncation=True)
        return rows["input_ids"], rows["attention_mask"]

    return encode


@torch.no_grad()
def _unseen_loss(losses: Losses, seed: int) -> float:
    """Mean loss over all pictures of unseen subjects, each at eight noises that are the same in every call."""
    errors, weights = [], []
    batches = losses.samples.unseen_batches(losses.training.batch)
    for repetition in range(8):
        for number, (latents, captions) in enumerate(batches):
            generator = step_generator(seed + 1, repetition * len(batches) + number, losses.samples.device)
            sigma = torch.rand(len(latents), generator=generator, device=generator.device)
            errors.append(losses.of_batch(latents, captions, sigma, generator)[0].item())
            weights.append(len(latents))
    return float(np.average(errors, weights=weights))
