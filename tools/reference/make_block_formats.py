"""Quantized blocks and small floats with the values they stand for: gguf-py for blocks, torch for floats.

gguf-py 0.19.0 does not decode Q1_0 and Q2_0; these are decoded as ggml's `dequantize_row_q1_0` and
`dequantize_row_q2_0` (commit d99724f2) do it.
"""

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
    "IQ2_XXS": (0,),
    "IQ2_XS": (0,),
    "IQ2_S": (0,),
    "IQ3_XXS": (0,),
    "IQ3_S": (0,),
    "IQ1_S": (0,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
    "Q1_0": (0,),
    "Q2_0": (0,),
}

# Elements and bytes of a block of a type that gguf-py does not know.
SIZES = {"Q2_0": (64, 18)}

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


def random_blocks(name: str) -> tuple[np.ndarray, tuple[int, int]]:
    """[blocks, bytes] of random bytes, a row of all-zero and one of all-one codes behind a row for each special scale;
    and these two rows' indices.
    """
    elements, size = SIZES.get(name) or GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    count = 64 if elements == 32 else 12
    result = seeded_bytes(f"blocks/{name}", count * size).reshape(count, size)
    zero_codes, one_codes = len(SPECIAL_SCALES), len(SPECIAL_SCALES) + 1
    result[zero_codes] = 0x00
    result[one_codes] = 0xFF
    return result, (zero_codes, one_codes)


def special_halves(name: str, shape: tuple[int, int], plain: tuple[int, int]) -> np.ndarray:
    """Float16 bits [blocks, scales]: the special ones, random ones, and a usual one in the plain rows."""
    scales = finite_halves(f"scales/{name}", shape[0] * shape[1]).reshape(shape)
    for row, bits in enumerate(SPECIAL_SCALES):
        scales[row] = [bits, *([SPECIAL_SCALES[-1 - row]] * (shape[1] - 1))]
    scales[list(plain)] = 0x2E66
    return scales


def blocks(name: str) -> np.ndarray:
    """[blocks, bytes]: random blocks, blocks with special scales, blocks of all-zero and all-one codes, and of formats
    with grids blocks that have each point.
    """
    result, plain = random_blocks(name)
    offsets = SCALE_OFFSETS[name]
    scales = special_halves(name, (len(result), len(offsets)), plain)
    for column, offset in enumerate(offsets):
        result[:, offset : offset + 2] = scales[:, column : column + 1].view(np.uint8)
    return np.concatenate([result, grid_blocks(name, result)])


def point_bits(name: str) -> np.ndarray | None:
    """Which bits of a block hold the number of each point of a grid, the lowest first: [points, bits]."""

    def fields(width: int, place) -> np.ndarray:
        count = 64 if name.startswith("IQ3") else 32
        return np.array([[place(index) + bit for bit in range(width)] for index in range(count)])

    match name:
        case "IQ2_XXS":
            return fields(8, lambda index: 8 * (2 + index // 4 * 8 + index % 4))
        case "IQ2_XS":
            return fields(9, lambda index: 8 * (2 + 2 * index))
        case "IQ2_S":
            return np.hstack([fields(8, lambda index: 8 * (2 + index)), fields(2, lambda index: 8 * 66 + 2 * index)])
        case "IQ3_XXS":
            return fields(8, lambda index: 8 * (2 + index))
        case "IQ3_S":
            return np.hstack([fields(8, lambda index: 8 * (2 + index)), fields(1, lambda index: 8 * 66 + index)])
        case "IQ1_S":
            upper = fields(3, lambda index: 8 * (34 + index // 4 * 2) + 3 * (index % 4))
            return np.hstack([fields(8, lambda index: 8 * (2 + index)), upper])
    return None


def grid_blocks(name: str, models: np.ndarray) -> np.ndarray:
    """Blocks that have each point of a format's grid once, the rest as in other blocks of it."""
    places = point_bits(name)
    if places is None:
        return models[:0]
    count = 2 ** places.shape[1] // len(places)
    numbers = np.arange(count * len(places)).reshape(count, len(places), 1)
    bits = np.unpackbits(np.resize(models[len(SPECIAL_SCALES) :], (count, models.shape[1])), axis=1, bitorder="little")
    bits[:, places] = numbers >> np.arange(places.shape[1]) & 1
    return np.packbits(bits, axis=1, bitorder="little")


def iq1_m_blocks() -> np.ndarray:
    """As `blocks`: the scale's nibbles are the upper ones of four words at byte 48."""
    result, plain = random_blocks("IQ1_M")
    scales = special_halves("IQ1_M", (len(result), 1), plain)
    words = result[:, 48:56].copy().view(np.uint16)
    nibbles = (scales >> np.array([0, 4, 8, 12], np.uint16) & 15) << 12
    result[:, 48:56] = (words & 0x0FFF | nibbles).astype(np.uint16).view(np.uint8)
    return result


def mxfp4_blocks() -> np.ndarray:
    """As `blocks`, with the least exponents, those around 1 and the largest with which all levels are finite."""
    result, plain = random_blocks("MXFP4")
    result[:, 0] = np.minimum(result[:, 0], 252)
    result[: len(SPECIAL_SCALES), 0] = (0, 1, 2, 3, 126, 127, 128, 251, 252)
    result[list(plain), 0] = 125
    # Levels of 1 are finite with any exponent.
    result[-1] = 0x91
    result[-1, 0] = 255
    return result


def nvfp4_blocks() -> np.ndarray:
    """Random blocks with all scales there are."""
    result = seeded_bytes("blocks/NVFP4", 64 * 36).reshape(64, 36)
    result[:, :4] = np.arange(256).reshape(64, 4)
    return result


def dequantize(name: str, data: np.ndarray) -> np.ndarray:
    """The values of blocks."""
    if name not in ("Q1_0", "Q2_0"):
        return quants.dequantize(data, GGMLQuantizationType[name])
    width = 1 if name == "Q1_0" else 2
    codes = data[:, 2:, None] >> np.arange(0, 8, width, dtype=np.uint8) & (2**width - 1)
    levels = np.array([-1, 1] if name == "Q1_0" else [-1, 0, 1, 2], np.float32)
    return data[:, :2].copy().view(np.float16).astype(np.float32) * levels[codes.reshape(len(data), -1)]


def main() -> None:
    tensors = {}
    stored = {name: blocks(name) for name in SCALE_OFFSETS}
    stored |= {"IQ1_M": iq1_m_blocks(), "MXFP4": mxfp4_blocks(), "NVFP4": nvfp4_blocks()}
    for name, data in stored.items():
        decoded = dequantize(name, data)
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
