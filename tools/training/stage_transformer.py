"""Stage `transformer`: trains transformer and text encoder together by flow matching on the stored latents."""

import argparse
import random

import torch
from safetensors.torch import load_file

import networks
from loop import Loop
from presets import Preset, TransformerTraining
from stage_tokenizer import Encoder
from workspace import Collection, Workspace


class Samples:
    """Latents with captions, on the device."""

    def __init__(self, workspace: Workspace, collection: Collection, encoder: Encoder, device: torch.device):
        tensors = load_file(workspace.needs(workspace.latents, "latents"))
        if len(tensors["singles"]) != len(collection.singles):
            raise SystemExit(f"{workspace.latents}: not of this data; run the stage `latents` again")
        self.collection, self.encoder, self.device = collection, encoder, device
        self.items = collection.singles + collection.scenes
        self.latents = torch.cat([tensors[name] for name in ("singles", "scenes") if name in tensors]).to(device)
        self.singles = [place for place, item in enumerate(collection.singles) if not item.held_out]
        self.scenes = range(len(collection.singles), len(self.items))

    def batch(self, count: int, dropout: float, seed: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents [count, 4, 16, 16], token ids and masks [count, tokens]; a part of the captions is empty."""
        draw = random.Random(seed)
        fraction = self.collection.manifest["scene_fraction"]
        places = [
            draw.choice(self.scenes if self.scenes and draw.random() < fraction else self.singles)
            for _ in range(count)
        ]
        captions = [
            "" if draw.random() < dropout else self.collection.caption(self.items[place], draw) for place in places
        ]
        ids, masks = (torch.tensor(rows, device=self.device) for rows in self.encoder(captions))
        return self.latents[places], ids, masks


def run(workspace: Workspace, preset: Preset, device: torch.device, arguments: argparse.Namespace) -> None:
    """Trains, then writes the folders denoiser/transformer and denoiser/text_encoder with averaged weights."""
    collection = Collection(workspace)
    encoder = Encoder(workspace)
    training = preset.transformer_training
    torch.manual_seed(arguments.seed)
    model = torch.nn.ModuleDict({
        "transformer": networks.transformer(preset.transformer),
        "text_encoder": networks.text_encoder(preset.transformer, encoder.processor.get_piece_size()),
    })
    networks.initialize(model["transformer"], model["text_encoder"])
    if arguments.start:
        for name, part in model.items():
            networks.start_from(part, arguments.start / name)
    model.to(device)
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    ends = (model["transformer"].pos_embed, model["transformer"].proj_out)
    bfloat16 = networks.uses_bfloat16(device, arguments.precision)
    samples = Samples(workspace, collection, encoder, device)
    # Two runs with random numbers of their own: all of the way from noise, then its beginning.
    runs = (
        ("transformer", training.schedule, False, arguments.seed),
        ("refinement", training.refinement, True, arguments.seed + 1),
    )
    for name, schedule, refines, seed in runs:
        loop = Loop(model, schedule, workspace.checkpoints, name, seed, ends, bfloat16)
        if not refines and loop.step < schedule.steps:
            (workspace.checkpoints / "refinement.pt").unlink(missing_ok=True)  # Of an earlier transformer.
        loss = _loss(model, samples, training, refines, bfloat16, seed)
        loop.run(loss, stop_after=arguments.stop_after)
        if loop.step < schedule.steps:
            return
        loop.use_average()
    for name, part in model.items():
        part.to("cpu").save_pretrained(workspace.denoiser / name)


def _loss(
    model: torch.nn.ModuleDict, samples: Samples, training: TransformerTraining, refines: bool, bfloat16: bool,
    seed: int,
):
    """Flow matching: at (1 - sigma) * latent + sigma * noise, predict noise - latent.

    The logit of sigma is normal around `noise_mean`, so that the middle, where pictures take shape, is trained most;
    in the refinement a part of the samples has much noise instead, evenly up to nothing else.
    """
    compiles = networks.is_gpu(samples.device)
    transformer, text_encoder = (networks.compiled(model[name], compiles) for name in ("transformer", "text_encoder"))

    def loss_of_step(step: int, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        latents, ids, masks = samples.batch(training.batch, training.caption_dropout, f"{seed}/{step}")
        device = latents.device
        sigma = torch.sigmoid(torch.randn(len(latents), generator=generator, device=device) + training.noise_mean)
        early = round(training.early_fraction * len(latents)) if refines else 0
        if early > 0:
            uniform = torch.rand(early, generator=generator, device=device)
            sigma[:early] = training.early_sigma + (1 - training.early_sigma) * uniform
        noise = torch.randn(latents.shape, generator=generator, device=device)
        weight = sigma[:, None, None, None]
        with networks.half_precision(device, bfloat16):
            states = text_encoder(input_ids=ids, attention_mask=masks)[0] * masks[..., None]
            velocity = transformer(
                hidden_states=(1 - weight) * latents + weight * noise, encoder_hidden_states=states, timestep=sigma,
                return_dict=False,
            )[0].float()
        errors = (velocity - (noise - latents)).square().mean((1, 2, 3))
        # The loss at little and at much noise tells detail from layout.
        low = sigma.detach() < 0.5
        numbers = {"detail": (errors * low).sum() / low.sum().clamp(min=1),
                   "layout": (errors * ~low).sum() / (~low).sum().clamp(min=1)}
        return errors.mean(), {key: value.detach() for key, value in numbers.items()}

    return loss_of_step
