"""Stage `transformer`: trains the text encoder to read, then the transformer by flow matching on the stored latents."""

import argparse
import dataclasses
import functools
import random

import torch
from safetensors.torch import load_file

import networks
from loop import Loop
from presets import Preset, TransformerTraining
from reading import Reading
from stage_tokenizer import Encoder
from workspace import Collection, Workspace

LossAndNumbers = tuple[torch.Tensor, dict[str, torch.Tensor]]


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

    def batch(self, count: int, dropout: float, seed: str) -> tuple[torch.Tensor, list[str]]:
        """Latents [count, 4, 16, 16] and their captions; a part of the captions is empty."""
        draw = random.Random(seed)
        fraction = self.collection.manifest["scene_fraction"]
        places = [
            draw.choice(self.scenes if self.scenes and draw.random() < fraction else self.singles)
            for _ in range(count)
        ]
        captions = [
            "" if draw.random() < dropout else self.collection.caption(self.items[place], draw) for place in places
        ]
        return self.latents[places], captions

    def tokens(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and masks [n, tokens]."""
        ids, masks = (torch.tensor(rows, device=self.device) for rows in self.encoder(captions))
        return ids, masks


def run(workspace: Workspace, preset: Preset, device: torch.device, arguments: argparse.Namespace) -> None:
    """Trains, then writes the folders denoiser/transformer and denoiser/text_encoder with averaged weights.

    The text encoder learns to read first and stays as it is afterwards.
    """
    collection = Collection(workspace)
    encoder = Encoder(workspace)
    training = preset.transformer_training
    torch.manual_seed(arguments.seed)
    model = torch.nn.ModuleDict({
        "transformer": networks.transformer(preset.transformer),
        "text_encoder": networks.text_encoder(preset.transformer, encoder.processor.get_piece_size()),
    })
    networks.initialize(model["transformer"], model["text_encoder"])
    started = [name for name in model if arguments.start and (arguments.start / name).is_dir()]
    if arguments.start and not started:
        raise SystemExit(f"{arguments.start}: expected a folder transformer or text_encoder in it, found neither")
    for name in started:
        networks.start_from(model[name], arguments.start / name)
    reading = Reading(collection, encoder, device)
    model["reader"] = reading.reader(preset.transformer.text_width)
    model.to(device)
    losses = Losses(
        model, Samples(workspace, collection, encoder, device), training,
        networks.uses_bfloat16(device, arguments.precision), reading,
    )
    if _trained(model, losses, workspace, arguments):
        for name in ("transformer", "text_encoder"):
            model[name].to("cpu").save_pretrained(workspace.denoiser / name)


def _trained(
    model: torch.nn.ModuleDict, losses: "Losses", workspace: Workspace, arguments: argparse.Namespace
) -> bool:
    """Does what is left of the three runs, each with random numbers of its own; False when told to stop before the end.
    """
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    training, transformer, reader = losses.training, model["transformer"], model["reader"]
    text = torch.nn.ModuleDict({"text_encoder": model["text_encoder"], "reader": reader})
    outer = (transformer.pos_embed, transformer.proj_out)
    whole_way = training.schedule
    if arguments.steps:
        whole_way = dataclasses.replace(whole_way, steps=arguments.steps)
    runs = (
        ("reading", text, training.reading, (reader,), losses.of_reading),
        ("transformer", transformer, whole_way, outer, losses.of_pictures),
        ("refinement", transformer, training.refinement, outer, losses.of_much_noise),
    )
    for place, (name, module, schedule, ends, loss) in enumerate(runs):
        seed = arguments.seed + place
        loop = Loop(module, schedule, workspace.checkpoints, name, seed, ends, losses.bfloat16)
        if loop.step < schedule.steps:
            for later, *_ in runs[place + 1 :]:
                checkpoint = workspace.checkpoints / f"{later}.pt"
                if checkpoint.exists():
                    print(f"{checkpoint}: removed, it was made from an earlier {name}", flush=True)
                    checkpoint.unlink()
        loop.run(functools.partial(loss, seed), stop_after=arguments.stop_after)
        if loop.step < schedule.steps:
            return False
        loop.use_average()
    return True


class Losses:
    """The losses of the runs. Captions depend on seed and step, noise comes from the generator.

    `model` has a `transformer` and a `text_encoder`; for `of_reading` also a `reader`, which `reading` is then about.
    """

    def __init__(
        self, model: torch.nn.ModuleDict, samples: Samples, training: TransformerTraining, bfloat16: bool,
        reading: Reading | None = None,
    ):
        compiles = networks.is_gpu(samples.device)
        self.transformer = networks.compiled(model["transformer"], compiles)
        self.text_encoder = networks.compiled(model["text_encoder"], compiles)
        self.reader = model["reader"] if reading is not None else None
        self.samples, self.reading, self.training, self.bfloat16 = samples, reading, training, bfloat16

    def of_reading(self, seed: int, step: int, generator: torch.Generator) -> LossAndNumbers:
        """Cross entropy of what the last token's state tells of the caption."""
        captions, answers = self.reading.batch(self.training.reading_batch, f"{seed}/{step}")
        states, _ = self._states(captions)
        return self.reading.loss(self.reader(states[:, -1].float()), answers)

    def of_pictures(self, seed: int, step: int, generator: torch.Generator) -> LossAndNumbers:
        """The logit of sigma is normal around `noise_mean`, so that the middle, where pictures take shape, is trained
        most."""
        return self._matched(self._sigma(generator), f"{seed}/{step}", generator)

    def of_much_noise(self, seed: int, step: int, generator: torch.Generator) -> LossAndNumbers:
        """As `of_pictures`, but a part of the samples has much noise, evenly up to nothing else."""
        training, sigma = self.training, self._sigma(generator)
        early = round(training.early_fraction * len(sigma))
        uniform = torch.rand(early, generator=generator, device=generator.device)
        sigma[:early] = training.early_sigma + (1 - training.early_sigma) * uniform
        return self._matched(sigma, f"{seed}/{step}", generator)

    def _sigma(self, generator: torch.Generator) -> torch.Tensor:
        normal = torch.randn(self.training.batch, generator=generator, device=generator.device)
        return torch.sigmoid(normal + self.training.noise_mean)

    def _matched(self, sigma: torch.Tensor, seed: str, generator: torch.Generator) -> LossAndNumbers:
        latents, captions = self.samples.batch(len(sigma), self.training.caption_dropout, seed)
        return self.of_batch(latents, captions, sigma, generator)

    def of_batch(
        self, latents: torch.Tensor, captions: list[str], sigma: torch.Tensor, generator: torch.Generator
    ) -> LossAndNumbers:
        """Flow matching: at (1 - sigma) * latent + sigma * noise, predict noise - latent."""
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        weight = sigma[:, None, None, None]
        with torch.no_grad():
            states, masks = self._states(captions)
        with networks.half_precision(latents.device, self.bfloat16):
            velocity = self.transformer(
                hidden_states=(1 - weight) * latents + weight * noise, timestep=sigma,
                encoder_hidden_states=states * masks[..., None], return_dict=False,
            )[0].float()
        errors = (velocity - (noise - latents)).square().mean((1, 2, 3))
        # The loss at little and at much noise tells detail from layout.
        low = sigma < 0.5
        numbers = {"detail": (errors * low).sum() / low.sum().clamp(min=1),
                   "layout": (errors * ~low).sum() / (~low).sum().clamp(min=1)}
        return errors.mean(), {key: value.detach() for key, value in numbers.items()}

    def _states(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """The text encoder's states [n, tokens, width] and the masks of the tokens that count."""
        ids, masks = self.samples.tokens(captions)
        with networks.half_precision(ids.device, self.bfloat16):
            return self.text_encoder(input_ids=ids, attention_mask=masks)[0], masks
