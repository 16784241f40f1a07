"""Rows and the blocks that gguf-py rounds them to, for the types whose blocks must be the same bytes."""

import numpy as np
import torch
from gguf import GGMLQuantizationType, quants

import seeded
from common import FIXTURES, write_tensors

TYPES = ("F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
COLUMNS = 256


def bell(name: str) -> np.ndarray:
    """One row of sums of four uniform values."""
    parts = seeded.values(f"quantization/{name}", 4 * COLUMNS).reshape(4, COLUMNS)
    return parts.sum(axis=0, dtype=np.float32)


def rows() -> np.ndarray:
    """[rows, 256]: ordinary values, ties, zeros of both signs, and the ends of the range."""
    uniform = seeded.values("quantization/uniform", COLUMNS)
    exponents = np.exp2(np.floor(seeded.values("quantization/exponents", COLUMNS) * 12)).astype(np.float32)
    sparse = np.where(uniform > 0.9, bell("sparse"), np.float32(0))
    return np.stack([
        bell("a"), bell("b") * np.float32(0.02), uniform, np.abs(bell("c")), 1 + bell("d") * np.float32(0.01),
        bell("e") * exponents,
        # Whole and half numbers make ties in every type.
        np.round(bell("f") * 8), np.round(bell("g") * 64) / 2, np.round(uniform * 127) / 127,
        np.zeros(COLUMNS), np.full(COLUMNS, -0.0), np.where(uniform > 0, 0.0, -0.0), sparse, -np.abs(sparse),
        np.full(COLUMNS, 0.37), np.full(COLUMNS, -1000.25),
        # Scales that are subnormal or zero in float16, and values that are subnormal in float32.
        bell("h") * np.float32(1e-4), bell("i") * np.float32(1e-7), bell("j") * np.float32(2.0**-30),
        bell("k") * np.float32(2.0**-126), bell("l") * np.float32(2.0**-146),
        # Just within float16's range.
        bell("m") * np.float32(30000 / 4), np.where(uniform > 0.95, 65504, bell("n") * 1000),
    ]).astype(np.float32)


def main() -> None:
    values = rows()
    tensors = {"values": torch.from_numpy(values)}
    with np.errstate(all="ignore"):
        for name in TYPES:
            blocks = np.ascontiguousarray(quants.quantize(values, GGMLQuantizationType[name])).view(np.uint8)
            tensors[f"{name}.bytes"] = torch.from_numpy(blocks.reshape(-1))
    write_tensors(FIXTURES / "quantization" / "blocks.safetensors", tensors)


if __name__ == "__main__":
    main()
