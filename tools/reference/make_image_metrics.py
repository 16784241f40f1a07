"""Measures of picture pairs by scikit-image, torchmetrics and NVIDIA's flip-evaluator: `make_image_metrics.py`.

Pictures are made from names with integer operations only, so that the tests make the same ones and no pixels are
stored. scikit-image and torchmetrics compute in float64 here. flip-evaluator computes in float32; `float64_map` is a
second implementation of the paper's formulas, with filters of two dimensions, that tells how much of its result is
rounding.
"""

import flip_evaluator
import numpy as np
import torch
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

import seeded
from common import FIXTURES, write_json, write_tensors

# Exponents of the scales, Wang et al. 2003.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
# At most this many pixels of an error map are stored.
STORED = 512
# Kinds of change and the sizes (width, height) they are tried at.
CASES = [
    ("identical", 48, 31), ("black-white", 24, 24), ("black-white", 1, 1), ("noise", 1, 1), ("noise", 3, 2),
    ("noise", 11, 11), ("noise", 10, 40), ("noise", 16, 16), ("noise", 21, 64), ("noise", 22, 22), ("noise", 128, 128),
    ("noise", 131, 99), ("strong-noise", 44, 47), ("strong-noise", 131, 99), ("unrelated", 176, 179),
    ("shift", 47, 44), ("shift", 99, 131), ("blur", 131, 99), ("brighter", 100, 64), ("colors", 87, 101),
    ("one-pixel", 64, 33), ("noise", 256, 256), ("blur", 256, 256), ("shift", 256, 200),
]
# Pixels per degree other than the default: the case's index and the number.
PIXELS_PER_DEGREE = {7: 4.0, 11: 20.0, 17: 134.5}


def samples(name: str, count: int) -> np.ndarray:
    """Integers of 0...255."""
    return np.floor((seeded.values(f"image-metrics/{name}", count) + np.float32(1)) * np.float32(128)).astype(np.int64)


def texture(name: str, width: int, height: int) -> np.ndarray:
    """A picture of soft patches, 16 pixels wide, with some grain; (height, width, 3) of 0...255."""
    columns, rows = width // 16 + 2, height // 16 + 2
    patches = samples(f"{name}/patches", rows * columns * 3).reshape(rows, columns, 3)
    grain = samples(f"{name}/grain", height * width * 3).reshape(height, width, 3)
    y, x = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    top, left, down, right = y // 16, x // 16, y % 16, x % 16
    channel = np.arange(3)[None, None, :]

    def patch(below: int, beside: int) -> np.ndarray:
        return patches[top + below, left + beside, channel]

    soft = (patch(0, 0) * (16 - right) + patch(0, 1) * right) * (16 - down)
    soft = soft + (patch(1, 0) * (16 - right) + patch(1, 1) * right) * down
    return np.clip((soft + 128) // 256 + grain // 16 - 8, 0, 255)


def clamped(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """The pixel so far below and to the right of each, the edge's where there is none."""
    height, width, _ = image.shape
    rows, columns = np.clip(np.arange(height) + down, 0, height - 1), np.clip(np.arange(width) + right, 0, width - 1)
    return image[rows][:, columns]


def seed(kind: str, width: int, height: int) -> str:
    """The name that a pair's pictures are made from."""
    return f"{kind}/{width}x{height}"


def pair(kind: str, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """The reference and the picture that is compared with it, uint8."""
    name = seed(kind, width, height)
    reference = texture(name, width, height)
    change = samples(f"{name}/change", height * width * 3).reshape(height, width, 3)
    if kind == "identical":
        picture = reference
    elif kind == "black-white":
        reference, picture = np.zeros_like(reference), np.full_like(reference, 255)
    elif kind == "noise":
        picture = reference + change // 16 - 8
    elif kind == "strong-noise":
        picture = reference + change - 128
    elif kind == "unrelated":
        picture = change
    elif kind == "shift":
        picture = clamped(reference, 2, -3)
    elif kind == "blur":
        picture = sum(clamped(reference, down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)) // 9
    elif kind == "brighter":
        picture = reference + 10
    elif kind == "colors":
        picture = reference[:, :, [1, 2, 0]]
    else:
        assert kind == "one-pixel"
        picture = reference.copy()
        picture[height // 2, width // 2] = 255 - picture[height // 2, width // 2]
    return reference.astype(np.uint8), np.clip(picture, 0, 255).astype(np.uint8)


def similarity(reference: np.ndarray, picture: np.ndarray) -> float | None:
    """SSIM by scikit-image."""
    if min(reference.shape[:2]) < WINDOW:
        return None
    return float(structural_similarity(
        reference, picture, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255,
        channel_axis=-1))


def multi_scale(reference: np.ndarray, picture: np.ndarray) -> tuple[float | None, int | None]:
    """MS-SSIM by torchmetrics with as many scales as fit the window, and their number."""
    fitting = [n for n in range(2, 6) if min(reference.shape[:2]) >> (n - 1) >= WINDOW]
    if not fitting:
        return None, None
    count = fitting[-1]
    weights = WEIGHTS if count == 5 else tuple(weight / sum(WEIGHTS[:count]) for weight in WEIGHTS[:count])
    pictures = [torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float64)) for image in (picture, reference)]
    value = multiscale_structural_similarity_index_measure(*pictures, data_range=255.0, betas=weights)
    assert value.dtype == torch.float64
    return float(value), count


def float32_map(reference: np.ndarray, picture: np.ndarray, density: float | None) -> tuple[np.ndarray, float]:
    """FLIP errors by flip-evaluator and its mean."""
    pictures = [image.astype(np.float32) / np.float32(255) for image in (reference, picture)]
    parameters = {} if density is None else {"ppd": density}
    errors, mean, _ = flip_evaluator.evaluate(*pictures, "LDR", applyMagma=False, parameters=parameters)
    return np.asarray(errors)[..., 0], float(mean)


def float64_map(reference: np.ndarray, picture: np.ndarray, density: float | None) -> np.ndarray:
    """FLIP errors in float64."""
    density = density or 3840 * np.pi / 180
    matrix = np.array([
        [10135552 / 24577794, 8788810 / 24577794, 4435075 / 24577794],
        [2613072 / 12288897, 8788810 / 12288897, 887015 / 12288897],
        [1425312 / 73733382, 8788810 / 73733382, 70074185 / 73733382]])
    matrix /= matrix.sum(axis=1, keepdims=True)
    radius = int(np.ceil(3 * np.sqrt(0.04 / (2 * np.pi**2)) * density))
    y, x = np.mgrid[-radius:radius + 1, -radius:radius + 1]

    def sensitivity(*parts: tuple[float, float]) -> np.ndarray:
        square = (x / density) ** 2 + (y / density) ** 2
        kernel = sum(a * np.sqrt(np.pi / b) * np.exp(-np.pi**2 * square / b) for a, b in parts)
        return kernel / kernel.sum()

    deviation = 0.5 * 0.082 * density
    reach = int(np.ceil(3 * deviation))
    v, u = np.mgrid[-reach:reach + 1, -reach:reach + 1]
    bell = np.exp(-(u**2 + v**2) / (2 * deviation**2))

    def detector(kernel: np.ndarray) -> np.ndarray:
        return np.where(kernel > 0, kernel / kernel[kernel > 0].sum(), -kernel / kernel[kernel < 0].sum())

    edge, point = detector(-u * bell), detector((u**2 / deviation**2 - 1) * bell)

    def filtered(plane: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return ndimage.correlate(plane, kernel, mode="nearest")

    def hunt(relative: np.ndarray) -> np.ndarray:
        knee = 6 / 29
        root = np.where(relative > knee**3, np.cbrt(relative), relative / (3 * knee**2) + 4 / 29)
        lightness = 116 * root[1] - 16
        return np.stack([
            lightness, 0.01 * lightness * 500 * (root[0] - root[1]), 0.01 * lightness * 200 * (root[1] - root[2])])

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (np.abs(a[0] - b[0]) + np.hypot(a[1] - b[1], a[2] - b[2])) ** 0.7

    def look(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        value = image.astype(np.float64).transpose(2, 0, 1) / 255
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        relative = np.tensordot(matrix, linear, 1)
        gray = relative[1]
        luma = filtered(116 * gray - 16, sensitivity((1, 0.0047)))
        red = filtered(500 * (relative[0] - gray), sensitivity((1, 0.0053)))
        blue = filtered(200 * (gray - relative[2]), sensitivity((34.1, 0.04), (13.5, 0.025)))
        gray_filtered = (luma + 16) / 116
        back = np.stack([gray_filtered + red / 500, gray_filtered, gray_filtered - blue / 200])
        shown = np.clip(np.tensordot(np.linalg.inv(matrix), back, 1), 0, 1)
        edges, points = (np.hypot(filtered(gray, k), filtered(gray, k.T)) for k in (edge, point))
        return hunt(np.tensordot(matrix, shown, 1)), edges, points

    (color, edges, points), (other, other_edges, other_points) = look(reference), look(picture)
    greatest = distance(*(hunt(matrix @ np.array(pure)) for pure in ([0, 1, 0], [0, 0, 1])))
    bend = 0.4 * greatest
    difference = distance(color, other)
    difference = np.where(
        difference < bend, 0.95 / bend * difference, 0.95 + (difference - bend) / (greatest - bend) * 0.05)
    feature = np.maximum(np.abs(edges - other_edges), np.abs(points - other_points))
    return difference ** (1 - np.sqrt(feature / np.sqrt(2)))


def main() -> None:
    cases, maps = [], {}
    for index, (kind, width, height) in enumerate(CASES):
        reference, picture = pair(kind, width, height)
        density = PIXELS_PER_DEGREE.get(index)
        same = np.array_equal(reference, picture)
        with np.errstate(divide="ignore"):
            ratio = float(peak_signal_noise_ratio(reference, picture, data_range=255))
        value, scales = multi_scale(reference, picture)
        errors, mean = float32_map(reference, picture, density)
        exact = float64_map(reference, picture, density)
        step = -(-errors.size // STORED)
        maps[str(index)] = torch.from_numpy(errors.reshape(-1)[::step].copy())
        cases.append({
            "kind": kind, "width": width, "height": height, "psnr": None if same else ratio,
            "ssim": similarity(reference, picture), "ms_ssim": value, "scales": scales,
            "pixels_per_degree": density, "flip_mean": float(errors.mean(dtype=np.float64)),
            "flip_printed_mean": mean, "flip_step": step,
            "flip_rounding": float(np.abs(errors - exact).max()),
            "flip_mean_rounding": float(abs((errors - exact).mean())),
        })
    folder = FIXTURES / "image-metrics"
    write_json(folder / "measures.json", cases)
    write_tensors(folder / "flip-errors.safetensors", maps)


if __name__ == "__main__":
    main()
