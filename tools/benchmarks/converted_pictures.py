#!/usr/bin/env python3
"""How much pictures of the shipped model change when its weights are converted to each type.

    python tools/benchmarks/converted_pictures.py --auraflow .build/release/auraflow

Draws the requests of Tests/Fixtures/demo-model with the shipped F16 file and with each converted one, and prints as a
Markdown table the size, the bits of a weight, the largest relative error of a tensor and the mean peak signal-to-noise
ratio of the pictures. Needs numpy and Pillow.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
TYPES = "q8_0,q6_K,q5_K_M,q5_K,q5_1,q5_0,q4_K_M,q4_K_S,q4_K,q4_1,q4_0,iq4_nl,iq4_xs,q3_K_L,q3_K_M,q3_K,q2_K"


def draw(auraflow: str, model: pathlib.Path, requests: list, work: pathlib.Path) -> list[np.ndarray]:
    """The pictures of a model."""
    pictures = []
    for request in requests:
        file = work / "picture.png"
        subprocess.run([auraflow, "generate", "-m", model, "-p", request["prompt"], "--seed", str(request["seeds"][0]),
                        "-o", file, "--force", "-q"], check=True)
        pictures.append(np.asarray(Image.open(file).convert("RGB"), dtype=np.float64))
    return pictures


def signal_to_noise(left: np.ndarray, right: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / max(1e-9, np.square(left - right).mean())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--auraflow", default=str(ROOT / ".build/release/auraflow"))
    parser.add_argument("--model", default=ROOT / "models/auraflow-icons.gguf", type=pathlib.Path)
    parser.add_argument("--types", default=TYPES)
    arguments = parser.parse_args()
    requests = json.loads((ROOT / "Tests/Fixtures/demo-model/requests.json").read_text())
    with tempfile.TemporaryDirectory() as place:
        work = pathlib.Path(place)
        references = draw(arguments.auraflow, arguments.model, requests, work)
        print("| type | MB | bits | largest error of a tensor | PSNR of pictures, dB |\n|---|---:|---:|---:|---:|")
        for kind in arguments.types.split(","):
            output = work / "out.gguf"
            report = json.loads(subprocess.run(
                [arguments.auraflow, "convert", arguments.model, output, "--type", kind, "--force", "--json"],
                check=True, capture_output=True, text=True).stdout)
            pictures = draw(arguments.auraflow, output, requests, work)
            ratio = np.mean([signal_to_noise(a, b) for a, b in zip(pictures, references)])
            error = max(tensor["relativeError"] or 0 for tensor in report["tensors"])
            print(f"| {kind} | {report['bytes'] / 1e6:.1f} | {report['bitsPerWeight']:.2f} | {error:.4f} | {ratio:.1f} |",
                  flush=True)


if __name__ == "__main__":
    main()
