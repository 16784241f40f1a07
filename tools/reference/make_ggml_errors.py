"""Errors that ggml's quantizers leave on rows that the tests can make again: `make_ggml_errors.py [--ggml LIBRARY]`.

The library is `libggml-base` of llama-cpp-python, or any with `ggml_quantize_chunk`. Without --ggml the installed
package's is taken.
"""

import argparse
import ctypes
import importlib.util
import os
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, quants

import seeded
from common import FIXTURES, write_json

# What the numbers were made with.
VERSION = "llama-cpp-python 0.3.36"
TYPES = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS")
WEIGHTED_TYPES = (*TYPES, "Q4_0", "Q4_1", "Q5_0", "Q5_1")
ROWS, COLUMNS = 8, 512
MODEL = FIXTURES.parents[1] / "models" / "auraflow-icons.gguf"
TENSORS = ("double_layers.0.attn.w1q.weight", "double_layers.1.mlpX.c_proj.weight", "single_layers.0.mlp.c_fc1.weight",
           "single_layers.1.modCX.1.weight")
F = np.float32


def uniform(name: str, count: int = ROWS * COLUMNS) -> np.ndarray:
    """Values in -1..<1."""
    return seeded.values(f"ggml/{name}", count)


def bell() -> np.ndarray:
    """Nearly normal values: sums of four uniform ones, each addition rounded."""
    a, b, c, d = (uniform(f"bell-{index}") for index in range(4))
    return ((a + b) + c) + d


def distributions() -> dict[str, np.ndarray]:
    """Rows of values; every operation is one of float32, so that the tests get the same bits."""
    x, u = bell(), uniform("choice")
    row = np.repeat(np.arange(ROWS), COLUMNS)
    return {
        "bell": x * F(0.02),
        "uniform": uniform("flat") * F(0.05),
        "laplace": x * np.abs(u) * F(0.1),
        "heavy-tails": x / (F(0.02) + np.abs(u)),
        "outliers": np.where(u > F(0.99), x * F(30), x),
        "sparse": np.where(u > F(0.8), x, F(0)),
        "constant": np.repeat(uniform("constants", ROWS), COLUMNS),
        "positive": np.abs(x),
        "shifted": F(1) + x * F(0.1),
        "tiny": x * F(2.0**-20),
        "huge": x * F(2.0**12),
        "rows": x * np.exp2(3 * row - 14).astype(F),
        "columns": x * np.tile(F(1) / (F(0.05) + np.abs(uniform("columns", COLUMNS))), ROWS),
    }


def importance(columns: int) -> np.ndarray:
    """Weights of columns over three orders of magnitude."""
    u = uniform("importance", columns)
    return F(1) / (F(0.01) + u * u * F(4))


def model_rows(name: str) -> np.ndarray:
    """The first rows of a tensor of the shipped model."""
    [tensor] = [tensor for tensor in GGUFReader(MODEL).tensors if tensor.name == name]
    return tensor.data[:ROWS].astype(F)


class Library:
    """ggml's quantizers."""

    def __init__(self, path: str):
        self.chunk = ctypes.CDLL(path, mode=os.RTLD_LAZY).ggml_quantize_chunk
        self.chunk.restype = ctypes.c_size_t

    def error(self, values: np.ndarray, weights: np.ndarray | None, name: str) -> float:
        """The sum of weighted squared errors."""
        kind = GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[kind]
        values = np.ascontiguousarray(values, F)
        rows, columns = values.shape
        blocks = np.zeros((rows, columns // elements * size), np.uint8)
        pointer = [None if array is None else array.ctypes.data_as(ctypes.c_void_p) for array in
                   (values, blocks, weights)]
        written = self.chunk(
            ctypes.c_int(int(kind)), pointer[0], pointer[1], ctypes.c_int64(0), ctypes.c_int64(rows),
            ctypes.c_int64(columns), pointer[2])
        assert written == blocks.size
        difference = quants.dequantize(blocks, kind).astype(np.float64) - values
        return float((difference**2 * (1 if weights is None else weights.astype(np.float64))).sum())


def make(path: str) -> None:
    library = Library(path)
    cases = []
    sources = {name: values.reshape(ROWS, COLUMNS) for name, values in distributions().items()}
    sources |= {name: model_rows(name) for name in TENSORS}
    for name, values in sources.items():
        for weights in (None, importance(values.shape[1])):
            errors = {kind: library.error(values, weights, kind) for kind in
                      (TYPES if weights is None else WEIGHTED_TYPES)}
            cases.append({
                "rows": name, "columns": values.shape[1], "weighted": weights is not None, "errors": errors})
    write_json(FIXTURES / "ggml-errors" / "errors.json", {"library": VERSION, "cases": cases})


def installed() -> str:
    """The library of the installed package."""
    specification = importlib.util.find_spec("llama_cpp")
    if specification is None or specification.origin is None:
        raise SystemExit(f"install {VERSION} or give --ggml")
    return str(Path(specification.origin).parent / "lib" / "libggml-base.so")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ggml", help="library with ggml_quantize_chunk")
    make(parser.parse_args().ggml or installed())


if __name__ == "__main__":
    main()
