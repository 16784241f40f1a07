"""Quantized blocks and small floats with the values they stand for (gguf-py for blocks, torch for floats)."""

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

import seeded
from common import FIXTURES, write_tensors

# Byte offsets of the float16 scales in a block of each type.
SCALE_OFFSETS = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
}

# Float16 bits: zero, negative zero, smallest and largest subnormal, negative subnormal, smallest normal,
# minus one, largest finite, lowest finite.
SPECIAL_SCALES = (0x0000, 0x8000, 0x0001, 0x03FF, 0x8201, 0x0400, 0xBC00, 0x7BFF, 0xFBFF)


def seeded_bytes(name: str, count: int) -> np.ndarray:
    """Uniform bytes."""
    return ((seeded.values(name, count) + 1) * 128).astype(np.uint8)


def finite_halves(name: str, count: int) -> np.ndarray:
    """Float16 bits over all exponents except that of infinity and NaN."""
    bits = ((seeded.values(name, count) + 1) * 32768).astype(np.uint16)
    return np.where(bits & 0x7C00 == 0x7C00, bits & 0xBFFF, bits).astype(np.uint16)


def blocks(name: str) -> np.ndarray:
    """[blocks, bytes]: random blocks, blocks with special scales, and blocks of all-zero and all-one codes."""
    elements, size = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    count = 64 if elements == 32 else 12
    result = seeded_bytes(f"blocks/{name}", count * size).reshape(count, size)
    offsets = SCALE_OFFSETS[name]
    scales = finite_halves(f"scales/{name}", count * len(offsets)).reshape(count, len(offsets))
    for row, bits in enumerate(SPECIAL_SCALES):
        scales[row] = [bits, *([SPECIAL_SCALES[-1 - row]] * (len(offsets) - 1))]
    zero_codes, one_codes = len(SPECIAL_SCALES), len(SPECIAL_SCALES) + 1
    result[zero_codes] = 0x00
    result[one_codes] = 0xFF
    scales[zero_codes] = scales[one_codes] = 0x2E66
    for column, offset in enumerate(offsets):
        result[:, offset : offset + 2] = scales[:, column : column + 1].view(np.uint8)
    return result


def main() -> None:
    tensors = {}
    for name in SCALE_OFFSETS:
        data = blocks(name)
        decoded = quants.dequantize(data, GGMLQuantizationType[name])
        assert np.isfinite(decoded).all()
        tensors[f"{name}.bytes"] = torch.from_numpy(data.reshape(-1))
        tensors[f"{name}.values"] = torch.from_numpy(decoded.astype(np.float32).reshape(-1))

    codes = torch.arange(256, dtype=torch.uint8)
    tensors["F8_E4M3.values"] = codes.view(torch.float8_e4m3fn).float()
    tensors["F8_E5M2.values"] = codes.view(torch.float8_e5m2).float()

    special = np.array([0x0000, 0x8000, 0x7C00, 0xFC00, *SPECIAL_SCALES, 0x7F80, 0xFF80, 0x0080, 0x007F], np.uint16)
    random = ((seeded.values("halves", 2200) + 1) * 32768).astype(np.uint16)
    for name, dtype in (("F16", torch.float16), ("BF16", torch.bfloat16)):
        halves = torch.from_numpy(np.concatenate([special, random]).view(np.int16)).view(dtype)
        halves = halves[~halves.isnan()][:2000].clone()
        tensors[f"{name}.bytes"] = halves.view(torch.uint8)
        tensors[f"{name}.values"] = halves.float()
    write_tensors(FIXTURES / "block-formats" / "blocks.safetensors", tensors)


if __name__ == "__main__":
    main()
