"""PNG files of every kind with the pixels that Pillow reads, and pictures that Pillow resizes."""

import io
import struct
import zlib

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from common import FIXTURES, write_tensors

FOLDER = FIXTURES / "pictures"
WIDTH, HEIGHT = 11, 9
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# Start and step of columns and rows of Adam7's passes (PNG specification 8.2).
ADAM7 = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
# (from, to) as (width, height): smaller, larger, one side alone, other shapes, very narrow.
# In the last three Pillow 13 filters columns first, rows first, and rows first but for a pixel.
RESIZES = [
    ((37, 23), (16, 16)),
    ((9, 7), (32, 48)),
    ((40, 24), (40, 8)),
    ((24, 40), (64, 40)),
    ((3, 50), (48, 16)),
    ((73, 57), (64, 32)),
    ((58, 22), (33, 3)),
    ((73, 57), (64, 39)),
]


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(rows: np.ndarray, depth: int) -> bytes:
    """Rows of samples as bytes, each behind the filter's number; filters alternate between none and up."""
    result, before = b"", None
    for index, row in enumerate(rows):
        bits = "".join(format(int(value), f"0{depth}b") for value in row.ravel())
        bits += "0" * (-len(bits) % 8)
        line = np.array([int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)], np.uint8)
        up = index % 2 == 1
        result += bytes([2 if up else 0]) + (line - before if up else line).tobytes()
        before = line
    return result


def png(samples: np.ndarray, depth: int, color: int, interlaced: bool) -> bytes:
    """A whole file of samples [height, width, channels]."""
    height, width = samples.shape[:2]
    if interlaced:
        parts = [samples[y::dy, x::dx] for x, dx, y, dy in ADAM7]
        data = b"".join(packed(part, depth) for part in parts if part.size)
    else:
        data = packed(samples, depth)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    palette = b""
    if color == 3:
        entries = random(2**depth * 3, 256, depth).astype(np.uint8).tobytes()
        palette = chunk(b"PLTE", entries) + chunk(b"tRNS", bytes([0, 128]))
    # Said of the colors, but not heeded by Pillow's convert.
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    stream = zlib.compress(data, 9)
    half = len(stream) // 2
    body = chunk(b"IDAT", stream[:half]) + chunk(b"IDAT", stream[half:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + gamma + palette + body + chunk(b"IEND", b"")


def random(count: int, end: int, seed: int) -> np.ndarray:
    """Seeded integers from 0 to `end`."""
    return np.random.Generator(np.random.PCG64(seed)).integers(0, end, count)


def tensor(picture: Image.Image) -> torch.Tensor:
    """Pixels as [height, width, channels] bytes."""
    return torch.from_numpy(np.array(picture))


def write_kinds() -> None:
    """A file of each color type, depth and interlacing. Pillow cuts 16-bit gray off at 255: its high byte is right."""
    for color, depths in DEPTHS.items():
        for depth in depths:
            for interlaced in (False, True):
                channels = CHANNELS[color]
                values = random(HEIGHT * WIDTH * channels, 2**depth, 100 * color + depth)
                samples = values.reshape(HEIGHT, WIDTH, channels)
                file = png(samples, depth, color, interlaced)
                if color == 0 and depth == 16:
                    pixels = torch.from_numpy((samples >> 8).astype(np.uint8).repeat(3, 2))
                else:
                    pixels = tensor(Image.open(io.BytesIO(file)).convert("RGB"))
                name = f"color{color}-depth{depth}" + ("-interlaced" if interlaced else "")
                tensors[f"{name}.png"] = torch.frombuffer(bytearray(file), dtype=torch.uint8)
                tensors[f"{name}.rgb"] = pixels
                if interlaced:
                    continue
                tensors[f"{name}.luminance"] = tensor(Image.fromarray(pixels.numpy()).convert("L"))


def write_resizes() -> None:
    """Random pictures in other sizes, with diffusers' modes `default` (stretch) and `crop` (fill)."""
    processor = VaeImageProcessor(vae_scale_factor=1)
    for index, ((width, height), (new_width, new_height)) in enumerate(RESIZES):
        pixels = random(width * height * 3, 256, 1000 + index).astype(np.uint8).reshape(height, width, 3)
        picture = Image.fromarray(pixels)
        tensors[f"resize{index}.source"] = tensor(picture)
        for mode, name in (("default", "stretch"), ("crop", "fill")):
            resized = processor.resize(picture, new_height, new_width, resize_mode=mode)
            tensors[f"resize{index}.{name}"] = tensor(resized)


tensors: dict[str, torch.Tensor] = {}


def main() -> None:
    write_kinds()
    write_resizes()
    write_tensors(FOLDER / "golden.safetensors", tensors)


if __name__ == "__main__":
    main()
