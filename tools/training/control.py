"""The strip `models/control.png`: what steers a picture besides its prompt, drawn by the program with its own model.

    python tools/training/control.py --program .build/release/auraflow --output models/control.png

From left to right: a rough sketch and what it becomes; a picture, the mask of its background (white is repainted) and the
result; another prompt without an adapter, with half of it, and with all of it. Prints the commands.
"""

import argparse
import pathlib
import shlex
import subprocess
import tempfile

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from drawings import SIZE
from sheet import contact_sheet
from subjects import BACKGROUNDS

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"
ADAPTER = MODELS / "icons-porcelain.safetensors"
STYLED = "a butterfly on a yellow background"
# File -> how it is drawn.
COMMANDS = {
    "house.png": ["--init-image", "sketch.png", "--strength", "0.6", "--prompt", "a house on a yellow background"],
    "cat.png": ["--prompt", "a cat in front of a green wall"],
    "purple.png": [
        "--init-image", "cat.png", "--mask", "mask.png", "--keep-unmasked", "--strength", "1",
        "--prompt", "a cat on a purple background",
    ],
    "plain.png": ["--prompt", STYLED],
    "half.png": ["--prompt", STYLED, "--lora", f"{ADAPTER}:0.5"],
    "styled.png": ["--prompt", STYLED, "--lora", str(ADAPTER)],
}
COLUMNS = ("sketch.png", "house.png", "cat.png", "mask.png", "purple.png", "plain.png", "half.png", "styled.png")


def sketch() -> Image.Image:
    """A house of a square and a triangle."""
    picture = Image.new("RGB", (SIZE, SIZE), BACKGROUNDS["yellow"])
    draw = ImageDraw.Draw(picture)
    draw.rectangle((40, 56, 88, 110), fill=(230, 230, 235))
    draw.polygon([(30, 58), (64, 20), (98, 58)], fill=(190, 70, 50))
    draw.rectangle((56, 80, 72, 110), fill=(120, 80, 40))
    return picture


def background_mask(picture: Image.Image) -> Image.Image:
    """White where a picture has about the colour of its rim, and three pixels further."""
    pixels = np.asarray(picture.convert("RGB")).astype(np.int16)
    rim = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)
    near = np.abs(pixels - rim).max(axis=2) < 45
    return Image.fromarray((255 * near).astype(np.uint8)).filter(ImageFilter.MaxFilter(7))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    program = arguments.program.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sketch().save(folder / "sketch.png")
        for file, words in COMMANDS.items():
            print(shlex.join(["auraflow", "generate", *words, "--output", file]).replace(f"{MODELS.parent}/", ""))
            subprocess.run([program, "generate", "--quiet", *words, "--output", file], cwd=folder, check=True)
            if file == "cat.png":
                background_mask(Image.open(folder / file)).save(folder / "mask.png")
        pictures = [Image.open(folder / file).convert("RGB") for file in COLUMNS]
        contact_sheet(pictures, columns=len(pictures), gap=4).save(arguments.output, optimize=True)


if __name__ == "__main__":
    main()
