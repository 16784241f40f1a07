"""Reference drawings to compare pictures with, and distorted copies of them with known answers."""

import pathlib
import random
import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "training"))

import drawings
from drawings import SIZE, Drawing, composed
from subjects import BACKGROUNDS, SUBJECTS


def add_arguments(parser) -> None:
    """The ways to name reference drawings."""
    group = parser.add_argument_group("reference drawings (default: the font's)")
    group.add_argument("--data", type=pathlib.Path, metavar="DIR", help="what `train.py data` wrote: WORK/data")
    group.add_argument("--font", type=pathlib.Path, default=drawings.FONT, help="colour emoji font")
    group.add_argument("--icons", type=pathlib.Path, metavar="DIR", help="folder of icons, all styles")


def load(arguments) -> list[Drawing]:
    """The drawings that the arguments name."""
    if arguments.data:
        return drawings.load(read_manifest(arguments.data)["drawings"], arguments.data / "drawings.npz")
    return drawings.from_icons(arguments.icons) if arguments.icons else drawings.from_font(SUBJECTS, arguments.font)


def read_manifest(folder: pathlib.Path) -> dict:
    """The data stage's manifest."""
    import json

    path = folder / "manifest.json"
    if not path.exists():
        raise SystemExit(f"{path}: missing; `train.py data` writes it")
    return json.loads(path.read_text())


@dataclass(frozen=True)
class Known:
    """A picture made from a reference, with the answer."""

    drawing: Drawing
    background: str
    picture: Image.Image


@dataclass(frozen=True)
class KnownScene:
    """A picture of two references, with the answers."""

    left: Drawing
    right: Drawing
    picture: Image.Image


def scenes(references: list[Drawing], count: int, seed: int) -> list[KnownScene]:
    """Random pairs in one style, side by side on any background, a little blurred."""
    draw = random.Random(seed)
    made = []
    while len(made) < count:
        left, right = draw.sample(references, 2)
        if left.style == right.style:
            pixels = composed(drawings.side_by_side(left.pixels, right.pixels), draw.choice(list(BACKGROUNDS.values())))
            soft = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(draw.uniform(0, 1.5)))
            made.append(KnownScene(left, right, soft))
    return made


def distorted(references: list[Drawing], copies: int, seed: int) -> list[Known]:
    """Each reference `copies` times: moved by up to 5 pixels, resized by up to 8 %, blurred, noisy, any background."""
    draw, noise = random.Random(seed), np.random.default_rng(seed)
    made = []
    for drawing in references:
        for _ in range(copies):
            background = draw.choice(list(BACKGROUNDS))
            side = round(SIZE * draw.uniform(0.92, 1.08))
            corner = [(SIZE - side) // 2 + draw.randint(-5, 5) for _ in range(2)]
            subject = Image.fromarray(drawing.pixels, "RGBA").convert("RGBa").resize((side, side)).convert("RGBA")
            canvas = Image.new("RGB", (SIZE, SIZE), BACKGROUNDS[background])
            canvas.paste(subject, tuple(corner), subject)
            soft = np.asarray(canvas.filter(ImageFilter.GaussianBlur(draw.uniform(0, 2))), np.float32)
            noisy = soft + noise.normal(0, draw.uniform(0, 16), soft.shape)
            made.append(Known(drawing, background, Image.fromarray(noisy.clip(0, 255).astype(np.uint8))))
    return made


def reconstructed(references: list[Drawing], folder: pathlib.Path, seed: int) -> list[Known]:
    """Each reference on a random background, encoded and decoded by the autoencoder in `folder`."""
    import torch
    from diffusers import AutoencoderKL

    model = AutoencoderKL.from_pretrained(folder, dtype=torch.float32).eval()
    draw = random.Random(seed)
    made = []
    for drawing in references:
        background = draw.choice(list(BACKGROUNDS))
        pixels = composed(drawing.pixels, BACKGROUNDS[background]).astype(np.float32)
        values = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]
        with torch.no_grad():
            decoded = model.decode(model.encode(values).latent_dist.mean).sample[0]
        picture = ((decoded.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy().astype(np.uint8)
        made.append(Known(drawing, background, Image.fromarray(picture)))
    return made
