#!/usr/bin/env python3
"""Compares rounding of rows to blocks with ggml's own quantizers, on the same rows and threads.

    swift build -c release --product auraflow
    python3 -m venv .venv && .venv/bin/pip install gguf==0.19.0 llama-cpp-python==0.3.36
    .venv/bin/python tools/benchmarks/quantize_ggml.py                     # all types, a few minutes
    .venv/bin/python tools/benchmarks/quantize_ggml.py --types Q4_K,Q6_K --threads 1 --check

Both sides are measured in turns, each several times; tables hold medians. MB count the rows as float16. Errors are
root mean squares relative to the values, weighted by the importance where there is one (as with an importance matrix).
With --check it ends with 1 if a K or IQ type is less than twice as fast or loses more. Prints Markdown.
"""

import concurrent.futures
import ctypes
import importlib.util
import os
import pathlib
import sys
import tempfile
from importlib import metadata

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

import common

TYPES = "Q8_0,Q4_0,Q4_1,Q5_0,Q5_1,Q2_K,Q3_K,Q4_K,Q5_K,Q6_K,IQ4_NL,IQ4_XS"
FLOOR = 2.0


class Quantizer:
    """`ggml_quantize_chunk` over threads, each with a part of the rows."""

    def __init__(self, path: str, threads: int):
        self.library = ctypes.CDLL(path, mode=os.RTLD_LAZY)
        self.library.ggml_quantize_chunk.restype = ctypes.c_size_t
        self.threads = threads
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)

    def run(self, name: str, values: np.ndarray, importance: np.ndarray | None) -> np.ndarray:
        """The blocks of rows, `[rows, bytes]`."""
        kind = GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[kind]
        rows, columns = values.shape
        blocks = np.empty((rows, columns // elements * size), np.uint8)
        bounds = [rows * index // self.threads for index in range(self.threads + 1)]

        def part(first: int, last: int):
            # A call works on rows from `start` on, and lets other threads of Python run.
            self.library.ggml_quantize_chunk(
                ctypes.c_int(int(kind)), pointer(values), pointer(blocks), ctypes.c_int64(first * columns),
                ctypes.c_int64(last - first), ctypes.c_int64(columns), pointer(importance))

        list(self.pool.map(part, bounds[:-1], bounds[1:]))
        return blocks


def pointer(array: np.ndarray | None):
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)


def relative_error(name: str, blocks: np.ndarray, values: np.ndarray, importance: np.ndarray | None) -> float:
    """As `auraflow bench quantize` counts it."""
    weights = 1.0 if importance is None else importance.astype(np.float64)
    exact = values.astype(np.float64)
    difference = quants.dequantize(blocks, GGMLQuantizationType[name]) - exact
    return float(np.sqrt((weights * difference**2).sum() / (weights * exact**2).sum()))


def installed() -> str:
    """The library of the installed package."""
    specification = importlib.util.find_spec("llama_cpp")
    if specification is None or specification.origin is None:
        sys.exit("install llama-cpp-python or give --ggml")
    return str(pathlib.Path(specification.origin).parent / "lib" / "libggml-base.so")


def main() -> int:
    parser = common.parser(__doc__)
    parser.add_argument("--ggml", help="library with ggml_quantize_chunk (default: the installed package's)")
    parser.add_argument("--types", default=TYPES, help="types, separated by commas")
    parser.add_argument("--rows", type=int, default=512, help="rows to round")
    parser.add_argument("--columns", type=int, default=3072, help="elements of a row")
    parser.add_argument("--quality", choices=["fast", "best"], default="fast", help="our quality")
    parser.add_argument("--check", action="store_true", help="end with 1 if a floor is missed")
    options = parser.parse_args()
    program = common.Program(options)
    ggml = Quantizer(options.ggml or installed(), options.threads)
    shape = ["--rows", str(options.rows), "--columns", str(options.columns)]
    with tempfile.TemporaryDirectory() as folder:
        program.bench("quantize", "--type", "F32", *shape, "--repetitions", "0", "--dump", f"{folder}/rows")
        data = np.fromfile(f"{folder}/rows", np.float32)
    values = data[: options.rows * options.columns].reshape(options.rows, options.columns)
    importance = np.ascontiguousarray(data[options.rows * options.columns :])
    megabytes = 2e-6 * values.size

    common.print_head(options, {name: installed_version(name) for name in ("gguf", "llama-cpp-python", "numpy")})
    common.print_columns(
        "type:", "importance:", "ggml MB/s", "MB/s", "ratio", "ggml error", "error", "error / ggml's")
    missed = []
    for name in options.types.split(","):
        for weights in (None, importance):
            arguments = ["quantize", "--type", name, *shape, "--quality", options.quality, "--repetitions", "3"]
            arguments += [] if weights is None else ["--weighted"]
            theirs, ours = [], []
            for _ in range(options.rounds):
                theirs.append({"seconds": common.seconds(lambda: ggml.run(name, values, weights), 3)})
                ours.append(program.bench(*arguments))
            time, result = common.middle(theirs)["seconds"], common.middle(ours)
            reference = relative_error(name, ggml.run(name, values, weights), values, weights)
            ratio, share = time / result["seconds"], result["relativeError"] / reference
            common.print_row(
                name, "-" if weights is None else "yes", f"{megabytes / time:.1f}",
                f"{result['megabytesPerSecond']:.1f}", f"{ratio:.2f}", f"{reference:.5f}",
                f"{result['relativeError']:.5f}", f"{share:.4f}")
            if "K" in name or "IQ" in name:
                missed += [f"{name}: {ratio:.2f} times as fast"] if ratio < FLOOR else []
                missed += [f"{name}: {share:.4f} of the error"] if share > 1 else []
    if options.check and missed:
        print("\nMissed: " + "; ".join(missed))
        return 1
    return 0


def installed_version(package: str) -> str:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-"


if __name__ == "__main__":
    sys.exit(main())
