#!/usr/bin/env python3
"""Opens with our program files whose blocks ggml's own quantizers made and gguf-py wrote.

    python tools/interop/check_ggml_files.py --ggml libggml.so --types Q4_K,Q6_K

For each type the matrices of the shipped model's transformer and text encoder are rounded by `ggml_quantize_chunk`, and
gguf-py writes them with all other tensors and metadata as they are. `auraflow inspect --verify` must find the file
sound, `auraflow generate` must draw nearly the picture that it draws with the same blocks' float32 values. Needs the
packages of tools/reference/requirements.txt and Pillow. Ends with 1 if anything differs.
"""

import argparse
import ctypes
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/auraflow-icons.gguf"
TYPES = "Q8_0,Q4_0,Q4_1,Q5_0,Q5_1,Q2_K,Q3_K,Q4_K,Q5_K,Q6_K,IQ4_NL,IQ4_XS"
# Activations of 16 bits instead of float32, through 12 layers and all steps, and rounding to 8 bits a channel.
LEAST_PSNR = 45.0


def quantize(library, values: np.ndarray, kind: GGMLQuantizationType) -> np.ndarray:
    """The blocks of rows, `[rows, bytes]`, by ggml."""
    elements, size = GGML_QUANT_SIZES[kind]
    rows, columns = values.shape
    blocks = np.empty((rows, columns // elements * size), np.uint8)
    library.ggml_quantize_chunk(
        ctypes.c_int(int(kind)), values.ctypes.data_as(ctypes.c_void_p), blocks.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0), ctypes.c_int64(rows), ctypes.c_int64(columns), None)
    return blocks


def write(path: pathlib.Path, model: GGUFReader, replaced: dict[str, tuple[np.ndarray, GGMLQuantizationType]]):
    """The shipped model with some tensors replaced, by gguf-py."""
    writer = GGUFWriter(path, model.fields["general.architecture"].contents())
    for name, field in model.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or "tensor_hashes" in name:
            continue
        kind = field.types[0]
        writer.add_key_value(
            name, field.contents(), kind, field.types[-1] if kind == GGUFValueType.ARRAY else None)
    for tensor in model.tensors:
        data, kind = replaced.get(tensor.name, (tensor.data, tensor.tensor_type))
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def draw(program: str, model: pathlib.Path, output: pathlib.Path) -> np.ndarray:
    """A picture of a model."""
    subprocess.run(
        [program, "generate", "-m", model, "-p", "a red apple on a blue background", "--seed", "3", "--activations",
         "exact", "-o", output, "--force", "-q"], check=True)
    return np.asarray(Image.open(output), dtype=np.float64)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ggml", required=True, help="library with ggml_quantize_chunk")
    parser.add_argument("--auraflow", default=str(ROOT / ".build/release/auraflow"), help="the built program")
    parser.add_argument("--types", default=TYPES, help="types, separated by commas")
    options = parser.parse_args()
    library = ctypes.CDLL(options.ggml, mode=os.RTLD_LAZY)
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    model = GGUFReader(MODEL)
    matrices = [
        tensor for tensor in model.tensors
        if not tensor.name.startswith("vae.") and len(tensor.shape) == 2 and tensor.shape[0] % 256 == 0
        and tensor.tensor_type == GGMLQuantizationType.F16]
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        for name in options.types.split(","):
            kind = GGMLQuantizationType[name]
            blocks, plain = {}, {}
            for tensor in matrices:
                rounded = quantize(library, np.ascontiguousarray(tensor.data, np.float32), kind)
                blocks[tensor.name] = (rounded, kind)
                plain[tensor.name] = (quants.dequantize(rounded, kind), GGMLQuantizationType.F32)
            write(work / "blocks.gguf", model, blocks)
            write(work / "plain.gguf", model, plain)
            sound = subprocess.run([options.auraflow, "inspect", "--verify", work / "blocks.gguf", "-q"]).returncode
            difference = (draw(options.auraflow, work / "blocks.gguf", work / "a.png")
                          - draw(options.auraflow, work / "plain.gguf", work / "b.png"))
            psnr = 10 * np.log10(255**2 / max(np.mean(difference**2), 1e-9))
            good = sound == 0 and psnr >= LEAST_PSNR
            faults += not good
            print(f"{name:7} {len(matrices)} matrices, verify {sound}, {psnr:.1f} dB {'' if good else 'FAULT'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
