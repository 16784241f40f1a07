"""Measures calibrated files with diffusers, beside what `auraflow compare` says of them.

    python tools/interop/check_calibrated.py --auraflow .build/release/auraflow --types q2_K,q4_K --prompts 32

The shipped model's transformer is converted plain and with --calibrate. diffusers draws the prompts with the F16 weights;
at four points of each way it computes the guided velocity with both files as well. The same files, prompts, seed and
points go through `compare --activations exact`. Medians over prompts of the relative distance, which must not differ by
more than a tenth: whatever reads the file gets what calibration gains.

Needs the packages of tools/reference/requirements.txt. Ends with 1 if anything differs.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import torch
from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, GGUFQuantizationConfig

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/auraflow-icons.gguf"
PROMPTS = ROOT / "tools/benchmarks/prompts"
STEPS, GUIDANCE, SIDE, TOKENS, POINTS = 20, 3.0, 128, 16, 4


def run(*arguments) -> None:
    """Runs a program that must succeed."""
    subprocess.run([str(a) for a in arguments], check=True, stdout=subprocess.DEVNULL)


def distance(values: torch.Tensor, reference: torch.Tensor) -> float:
    return float((values - reference).norm() / reference.norm())


class Observer:
    """Stands before the reference's forward pass, and lets others compute the same at some steps."""

    def __init__(self, reference: torch.nn.Module, others: dict[str, torch.nn.Module], steps: list[int]):
        self.others, self.steps, self.compute = others, steps, reference.forward
        self.calls, self.squares = 0, {name: [] for name in others}
        reference.forward = self.forward

    def forward(self, *arguments, **options):
        found = self.compute(*arguments, **options)
        if self.calls in self.steps:
            for name, other in self.others.items():
                value = guided(other(*arguments, **options)[0])
                self.squares[name].append(distance(value, guided(found[0])) ** 2)
        self.calls += 1
        return found

    def finish(self) -> dict[str, float]:
        """Root mean squares over the points of a way that ended."""
        result = {name: (sum(squares) / len(squares)) ** 0.5 for name, squares in self.squares.items()}
        self.calls, self.squares = 0, {name: [] for name in self.others}
        return result


def guided(both: torch.Tensor) -> torch.Tensor:
    """Classifier-free guidance on a batch of both branches."""
    without, with_prompt = both.chunk(2)
    return without + GUIDANCE * (with_prompt - without)


def transformer(path: pathlib.Path, folder: pathlib.Path) -> AuraFlowTransformer2DModel:
    return AuraFlowTransformer2DModel.from_single_file(
        str(path), quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32), torch_dtype=torch.float32,
        config=str(folder), subfolder="transformer")


@torch.no_grad()
def errors_of_diffusers(folder: pathlib.Path, files: list[pathlib.Path], prompts: list[str]) -> dict[str, float]:
    """Median velocity errors with diffusers."""
    pipeline = AuraFlowPipeline.from_pretrained(str(folder), torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    steps = [(2 * point + 1) * STEPS // (2 * POINTS) for point in range(POINTS)]
    observer = Observer(pipeline.transformer, {path.stem: transformer(path, folder) for path in files}, steps)
    found: dict[str, list[float]] = {path.stem: [] for path in files}
    for prompt in prompts:
        pipeline(prompt, height=SIDE, width=SIDE, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
                 max_sequence_length=TOKENS, generator=torch.Generator().manual_seed(0), output_type="latent")
        for name, value in observer.finish().items():
            found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def errors_of_ours(auraflow: str, files: list[pathlib.Path], prompts: list[str], work: pathlib.Path) -> dict[str, float]:
    """Median velocity errors by `compare`."""
    texts = work / "prompts.txt"
    texts.write_text("".join(json.dumps({
        "prompt": prompt, "steps": STEPS, "guidanceScale": GUIDANCE, "width": SIDE, "height": SIDE}) + "\n"
        for prompt in prompts))
    run(auraflow, "compare", "--reference", MODEL, "--models", *files, "--text-encoder", MODEL, "--vae", MODEL,
        "--tokenizer", MODEL, "--prompts", texts, "--output", work / "compared", "--activations", "exact",
        "--no-noise-floor")
    levels = json.loads((work / "compared/results.json").read_text())["levels"]
    return {level["name"]: level["velocityError"] for level in levels if level["velocityError"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--auraflow", default=".build/release/auraflow")
    parser.add_argument("--types", default="q2_K,q4_K")
    parser.add_argument("--prompts", type=int, default=32)
    arguments = parser.parse_args()
    lines = [line for line in (PROMPTS / "icons.txt").read_text().splitlines() if line and line[0] != "#"]
    prompts, faults = lines[:arguments.prompts], 0
    with tempfile.TemporaryDirectory() as place:
        work = pathlib.Path(place)
        folder = work / "model"
        run(arguments.auraflow, "convert", MODEL, f"{folder}/", "--type", "f32", "-q")
        files = []
        for kind in arguments.types.split(","):
            for name, more in (("plain", []), ("calibrated", ["--calibrate", PROMPTS / "icons-calibrate.txt"])):
                files.append(work / f"{name}-{kind}.gguf")
                run(arguments.auraflow, "convert", MODEL, files[-1], "--type", kind, "--preset", "pure", "--part",
                    "transformer", "-q", *more)
        ours = errors_of_ours(arguments.auraflow, files, prompts, work)
        theirs = errors_of_diffusers(folder, files, prompts)
        print("| transformer | velocity error: ours | diffusers | ratio |\n|---|---:|---:|---:|")
        for name, value in theirs.items():
            ratio = value / ours[name]
            faults += not 1 / 1.1 <= ratio <= 1.1
            print(f"| {name} | {ours[name]:.4f} | {value:.4f} | {ratio:.3f} |")
    print(f"{faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
