"""Finds the reference drawing that a picture is closest to, wherever and however large the subject stands in it.

The background is the median colour of the rim. What is left after taking it away is compared with every reference on
the same background by the cosine of their values, over sizes and shifts: a cross-correlation, done with FFTs.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from references import SIZE, Drawing, composed

_SIDE = 64  # Pictures are compared at this size, in pixels.
_RIM = 2
_SCALES = (0.86, 0.93, 1.0, 1.07, 1.14)
_LARGEST_SHIFT = 6


@dataclass(frozen=True)
class Match:
    """The best reference. `margin` is its similarity minus that of the best with another subject; `nearest` are the
    keys of the five subjects that are closest, from the closest on."""

    drawing: Drawing
    similarity: float
    margin: float
    nearest: tuple[str, ...]


class Matcher:
    """References prepared for comparison.

    A reference on background b is alpha * (colour - b) = A - b * alpha: the transforms of A and alpha are kept, and
    any background costs a subtraction.
    """

    def __init__(self, references: list[Drawing]):
        self.references = references
        scaled = np.stack([[_scaled(drawing.pixels, scale) for scale in _SCALES] for drawing in references])
        alpha = scaled[..., 3] / 255
        covered = alpha[..., None] * scaled[..., :3] / 255
        self._covered = np.fft.rfft2(covered, axes=(2, 3)).astype(np.complex64)
        self._alpha = np.fft.rfft2(alpha).astype(np.complex64)
        # The squared norm of A - b * alpha, as a polynomial in b.
        self._constant = (covered**2).sum((2, 3, 4))
        self._linear = (covered * alpha[..., None]).sum((2, 3))
        self._square = (alpha**2).sum((2, 3))

    def find(self, picture: Image.Image) -> Match:
        """The closest reference to the one subject of the picture."""
        values = _values(picture)
        background = rim_colour(picture) / 255
        return self._find(values - background, background)

    def find_halves(self, picture: Image.Image) -> tuple[Match, Match]:
        """The closest references to the subjects in the left and in the right half, drawn at half the size."""
        values = _values(picture, 2 * _SIDE)
        background = rim_colour(picture) / 255
        rows = slice(_SIDE // 2, _SIDE // 2 + _SIDE)
        left, right = (self._find(values[rows, start : start + _SIDE] - background, background)
                       for start in (0, _SIDE))
        return left, right

    def _find(self, subject: np.ndarray, background: np.ndarray) -> Match:
        """`subject` [64, 64, 3] without its background, values -1 to 1; background [3], 0 to 1."""
        transform = np.fft.rfft2(subject, axes=(0, 1)).astype(np.complex64)
        products = np.einsum("nsyxc,yxc->nsyx", self._covered.conj(), transform)
        products -= self._alpha.conj() * (transform @ background.astype(np.complex64))
        correlation = np.fft.irfft2(products, s=(_SIDE, _SIDE))
        near = np.r_[0 : _LARGEST_SHIFT + 1, -_LARGEST_SHIFT:0]
        best = correlation[:, :, near][..., near].max((2, 3))
        norms = self._constant - 2 * self._linear @ background + self._square * (background**2).sum()
        cosines = best / np.sqrt(np.maximum(norms, 1e-6) * max(float((subject**2).sum()), 1e-6))
        similarities = cosines.max(1)
        first = int(similarities.argmax())
        best_of_subject: dict[str, float] = {}
        for place in np.argsort(-similarities, kind="stable"):
            best_of_subject.setdefault(self.references[place].subject.key, float(similarities[place]))
        nearest = list(best_of_subject)
        second = best_of_subject[nearest[1]] if len(nearest) > 1 else 0.0
        similarity = float(similarities[first])
        return Match(self.references[first], similarity, similarity - second, tuple(nearest[:5]))


def rim_colour(picture: Image.Image) -> np.ndarray:
    """The median colour of the picture's rim, float [3], 0 to 255."""
    values = np.asarray(picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float64)
    inner = np.zeros((_SIDE, _SIDE), bool)
    inner[_RIM:-_RIM, _RIM:-_RIM] = True
    return np.median(values[~inner], axis=0)


def nearest_background(colour: np.ndarray, backgrounds: dict[str, tuple[int, int, int]]) -> str:
    """The name of the background colour with the smallest distance in sRGB."""
    return min(backgrounds, key=lambda name: float(((np.asarray(backgrounds[name]) - colour) ** 2).sum()))


def sharpness(picture: Image.Image, reference: Drawing, background: tuple[int, int, int]) -> float:
    """The picture's edges over those of the drawing on the same background: 1 is as sharp, less is blurred.

    Edges are squared differences of neighbouring pixels, so that one hard step counts more than a soft one.
    """
    def edges(values: np.ndarray) -> float:
        return sum(float((np.diff(values, axis=axis) ** 2).sum()) for axis in (0, 1))

    drawn = np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX), np.float64)
    return edges(drawn) / max(edges(composed(reference.pixels, background).astype(np.float64)), 1e-6)


def _values(picture: Image.Image, side: int = _SIDE) -> np.ndarray:
    resized = picture.convert("RGB").resize((side, side), Image.Resampling.BOX)
    return np.asarray(resized, np.float64) / 255


def _scaled(pixels: np.ndarray, scale: float) -> np.ndarray:
    """A drawing (uint8 [128, 128, 4]) at `scale` times its size in the middle of [64, 64, 4], in float."""
    side = round(_SIDE * scale)
    small = Image.fromarray(pixels, "RGBA").convert("RGBa").resize((side, side), Image.Resampling.BOX).convert("RGBA")
    canvas = Image.new("RGBA", (_SIDE, _SIDE))
    canvas.paste(small, ((_SIDE - side) // 2,) * 2)
    return np.asarray(canvas, np.float64)
