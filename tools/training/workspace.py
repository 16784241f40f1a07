"""Where the stages leave their results for each other, and how the data manifest is read."""

import json
import pathlib
from dataclasses import dataclass

import numpy as np
import torch

import drawings
from captions import caption, scene_caption
from loop import replace_atomically


@dataclass(frozen=True)
class Workspace:
    """The folder given as --work."""

    root: pathlib.Path

    @property
    def manifest(self) -> pathlib.Path:
        return self.root / "data" / "manifest.json"

    @property
    def archive(self) -> pathlib.Path:
        return self.root / "data" / "drawings.npz"

    @property
    def tokenizer(self) -> pathlib.Path:
        return self.root / "tokenizer"

    @property
    def autoencoder(self) -> pathlib.Path:
        return self.root / "vae"

    @property
    def latents(self) -> pathlib.Path:
        return self.root / "latents.safetensors"

    @property
    def checkpoints(self) -> pathlib.Path:
        return self.root / "checkpoints"

    @property
    def denoiser(self) -> pathlib.Path:
        """Finished transformer and text encoder."""
        return self.root / "denoiser"

    @property
    def pipeline(self) -> pathlib.Path:
        return self.root / "pipeline"

    @property
    def export(self) -> pathlib.Path:
        return self.root / "export"

    @property
    def adapter(self) -> pathlib.Path:
        return self.root / "adapter"

    @property
    def score(self) -> pathlib.Path:
        return self.root / "score"

    def needs(self, path: pathlib.Path, stage: str) -> pathlib.Path:
        """The path, or an error that names the stage which makes it."""
        if not path.exists():
            raise SystemExit(f"{path}: missing; run the stage `{stage}` first")
        return path


def write_json(path: pathlib.Path, content) -> None:
    """Indented JSON, never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_atomically(path, lambda part: part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n"))


@dataclass(frozen=True)
class Item:
    """One picture to learn: one drawing, or two from left to right, on a background."""

    drawings: tuple[int, ...]
    background: str
    held_out: bool = False


class Collection:
    """The drawings and what may be composed from them, as the data stage wrote it."""

    def __init__(self, workspace: Workspace):
        manifest = json.loads(workspace.needs(workspace.manifest, "data").read_text())
        self.manifest = manifest
        self.drawings = drawings.load(manifest["drawings"], workspace.archive)
        self.backgrounds: dict[str, tuple[int, int, int]] = {
            name: tuple(colour) for name, colour in manifest["backgrounds"].items()
        }
        self.templates: list[str] = manifest["templates"]
        held = {row["subject"]: row for row in manifest["held_out"]}
        self.singles = [
            Item(
                (index,), background,
                background in held[drawing.subject.key]["backgrounds"]
                or drawing.style in held[drawing.subject.key]["styles"],
            )
            for index, drawing in enumerate(self.drawings)
            for background in self.backgrounds
        ]
        self.scenes = [Item(tuple(row["drawings"]), row["background"]) for row in manifest["scenes"]]

    def pixels(self, item: Item) -> np.ndarray:
        """The item's drawing, uint8 [128, 128, 4]; two are drawn side by side at half the size."""
        images = [self.drawings[index].pixels for index in item.drawings]
        return images[0] if len(images) == 1 else drawings.side_by_side(*images)

    def picture(self, item: Item) -> np.ndarray:
        """The composed item, uint8 [128, 128, 3]."""
        return drawings.composed(self.pixels(item), self.backgrounds[item.background])

    def caption(self, item: Item, generator) -> str:
        """A random caption; `generator` is a random.Random."""
        first = self.drawings[item.drawings[0]]
        if len(item.drawings) == 1:
            return caption(first.subject, item.background, first.style, self.templates, generator)
        second = self.drawings[item.drawings[1]]
        return scene_caption(first.subject, second.subject, item.background, first.style, generator)


def to_tensor(pictures: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 [n, height, width, 3] to float [n, 3, height, width] in [-1, 1]."""
    values = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
    return values.permute(0, 3, 1, 2).float() / 127.5 - 1
