"""Drawings to train on: RGBA pictures of single subjects, from a colour emoji font or a folder of icons.

A drawing is a uint8 array [128, 128, 4] with straight (not premultiplied) colour. Everything else, training
samples as well as the references that scores are measured against, is composed from drawings here.
"""

import json
import pathlib
from dataclasses import asdict, dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from subjects import BACKGROUNDS, STYLES, SUBJECTS, Subject

FONT = pathlib.Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
SIZE = 128  # Side of a picture in pixels.

_GLYPH_SIZE = 109  # The only size of the font's bitmaps, in points.
_GLYPH_BOX = (136, 128)
_RIM = 8  # Pixels of background around every subject, so that its colour can be told.
_DRAWN_BOX = (SIZE - 2 * _RIM, 105)


@dataclass(frozen=True)
class Drawing:
    """A subject in a style; `style` is the empty word when the model knows only one."""

    subject: Subject
    style: str
    pixels: np.ndarray


def from_font(subjects: tuple[Subject, ...] = SUBJECTS, font: pathlib.Path = FONT) -> list[Drawing]:
    """Draws each subject's glyph, centred with a rim around it."""
    if not font.exists():
        raise SystemExit(f"{font}: no such font; Debian has it in fonts-noto-color-emoji, or give --font FILE")
    face = ImageFont.truetype(font, _GLYPH_SIZE)
    drawings = []
    for subject in subjects:
        glyph = Image.new("RGBA", _GLYPH_BOX)
        ImageDraw.Draw(glyph).text((0, 0), chr(int(subject.codepoint, 16)), font=face, embedded_color=True)
        if glyph.getbbox() is None:
            raise SystemExit(f"{font}: has no glyph for U+{subject.codepoint.upper()} ({subject.key})")
        drawings.append(Drawing(subject, "", _with_rim(glyph, _DRAWN_BOX)))
    return drawings


def _with_rim(picture: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """The picture resized to `size` (width, height) in the middle of a transparent canvas."""
    # Resized with premultiplied colour, so that transparent black does not bleed into the edges.
    drawn = picture.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    canvas = Image.new("RGBA", (SIZE, SIZE))
    canvas.paste(drawn, ((SIZE - size[0]) // 2, (SIZE - size[1]) // 2))
    return np.asarray(canvas)


def from_icons(folder: pathlib.Path, every_subject: bool = False) -> list[Drawing]:
    """Reads `images128.npz` and `captions.jsonl`: pictures on white, one caption record a line.

    Takes the subjects of `subjects.py` in all styles that the folder has, or with `every_subject` all of them but those
    whose name another one has already. A subject has its usual colour only in drawings that show it.
    """
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text().splitlines()]
    images = np.load(folder / "images128.npz")["images"]
    if images.shape != (len(rows), SIZE, SIZE, 3):
        raise SystemExit(f"{folder}: images of shape {images.shape}, expected ({len(rows)}, {SIZE}, {SIZE}, 3)")
    known = {subject.codepoint: subject for subject in SUBJECTS}
    codepoints = {subject.key: subject.codepoint for subject in SUBJECTS}
    drawings = []
    for row, image in zip(rows, images):
        subject = known.get(row["cp"])
        if subject is None and every_subject:
            # Named by colour only where captions need it, so an unknown icon's own name is enough.
            subject = Subject(row["cp"], row["name"].lower(), "")
        elif subject is not None and not subject.always_coloured:
            shades = {colour.split()[-1] for colour in row["colors"]}
            subject = subject if subject.colour in shades else replace(subject, colour="")
        if subject is not None and codepoints.setdefault(subject.key, row["cp"]) == row["cp"]:
            pixels = _with_rim(Image.fromarray(cut_out(image), "RGBA"), (SIZE - 2 * _RIM,) * 2)
            drawings.append(Drawing(subject, STYLES.get(row["style"], row["style"]), pixels))
    return drawings


def cut_out(image: np.ndarray) -> np.ndarray:
    """Makes the white around an icon transparent: white that the border reaches, and its antialiased edge.

    `image` is uint8 [height, width, 3]; the result [height, width, 4].
    """
    outside = _reached_from_border((image >= 250).all(axis=2))
    edge = _grown(outside, 2) & ~outside
    darkness = 255.0 - image.min(axis=2)
    # An edge pixel is a mix of white and the subject behind it, taken from its darkest neighbour.
    inner = np.where(outside, 0, darkness)
    solid = np.max([_shifted(inner, y, x) for y in (-2, 0, 2) for x in (-2, 0, 2)], axis=0)
    alpha = np.where(outside, 0.0, 1.0)
    alpha[edge] = np.clip(darkness[edge] / np.maximum(solid[edge], 1), 0.05, 1)
    colour = 255 - (255.0 - image) / np.maximum(alpha, 0.05)[..., None]
    return np.dstack([colour.clip(0, 255), alpha * 255]).round().astype(np.uint8)


def _reached_from_border(allowed: np.ndarray) -> np.ndarray:
    """The pixels of `allowed` (bool [height, width]) that touch the border through allowed pixels."""
    reached = np.zeros_like(allowed)
    reached[[0, -1]], reached[:, [0, -1]] = allowed[[0, -1]], allowed[:, [0, -1]]
    while True:
        grown = _grown(reached, 1) & allowed
        if (grown == reached).all():
            return reached
        reached = grown


def _grown(mask: np.ndarray, distance: int) -> np.ndarray:
    """The mask and everything within `distance` steps up, down, left or right of it."""
    for _ in range(distance):
        mask = mask | _shifted(mask, 1, 0) | _shifted(mask, -1, 0) | _shifted(mask, 0, 1) | _shifted(mask, 0, -1)
    return mask


def _shifted(values: np.ndarray, down: int, right: int) -> np.ndarray:
    """The values [height, width] moved by up to two pixels; what enters from outside is zero."""
    height, width = values.shape
    return np.pad(values, 2)[2 - down : 2 - down + height, 2 - right : 2 - right + width]


def composed(pixels: np.ndarray, background: tuple[int, int, int]) -> np.ndarray:
    """A drawing (uint8 [..., 4]) over one colour: uint8 [..., 3]."""
    alpha = pixels[..., 3:].astype(np.float32) / 255
    mixed = alpha * pixels[..., :3] + (1 - alpha) * np.asarray(background, np.float32)
    return mixed.round().astype(np.uint8)


def save(drawings: list[Drawing], archive: pathlib.Path) -> list[dict]:
    """Writes the pixels as one compressed array and returns one record per drawing for the manifest."""
    np.savez_compressed(archive, drawings=np.stack([drawing.pixels for drawing in drawings]))
    return [{"subject": asdict(drawing.subject), "style": drawing.style} for drawing in drawings]


def load(records: list[dict], archive: pathlib.Path) -> list[Drawing]:
    """Reads what `save` wrote."""
    pixels = np.load(archive)["drawings"]
    return [Drawing(Subject(**row["subject"]), row["style"], image) for row, image in zip(records, pixels)]


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two drawings at half their size, one beside the other, on a canvas of the same size."""
    canvas = Image.new("RGBA", (SIZE, SIZE))
    for column, pixels in enumerate((left, right)):
        half = Image.fromarray(pixels, "RGBA").convert("RGBa").resize((SIZE // 2,) * 2, Image.Resampling.LANCZOS)
        canvas.paste(half.convert("RGBA"), (column * SIZE // 2, SIZE // 4))
    return np.asarray(canvas)
