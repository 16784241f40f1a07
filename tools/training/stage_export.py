"""Stage `export`: the finished pipeline as a diffusers folder, as a GGUF file and as a sheet to look at."""

import argparse
import json
import pathlib
import platform
import shutil
import subprocess
import sys
from importlib import metadata

import torch
from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, AutoencoderKL
from transformers import LlamaTokenizerFast, UMT5EncoderModel

import networks
from drawings import SIZE
from presets import Preset
from sheet import contact_sheet
from stage_tokenizer import Encoder
from workspace import Collection, Workspace, write_json

STEPS, GUIDANCE = 20, 3.0
EXPORTER = pathlib.Path(__file__).resolve().parents[1] / "export" / "export_gguf.py"
SHEET_PROMPTS = (
    "a red apple on a blue background", "a cat in front of a green wall", "on a black background, a rocket",
    "slice of pizza, white background", "a grinning face on a yellow background", "a red car on a pink background",
    "a penguin on an orange background", "a guitar with a purple background", "a house on a blue background",
    "a ghost on a black background", "a sunflower", "a red heart on a gray background",
    "a purple picture of a banana", "a panda on a green background", "doughnut, pink background",
    "a robot in front of a blue wall", "a rainbow on a black background", "a fox on a white background",
    "a whale on a yellow background", "a hamburger on a red background", "gray background, strawberry",
    "a butterfly on a white background", "an owl on a purple background", "a snowman on a blue background",
)


def run(workspace: Workspace, preset: Preset, arguments: argparse.Namespace) -> None:
    """Writes pipeline/ (F16), export/model.gguf, export/samples.png and export/numbers.json."""
    collection = Collection(workspace)
    _save_pipeline(workspace, preset)
    workspace.export.mkdir(parents=True, exist_ok=True)
    model = workspace.export / "model.gguf"
    encoder = Encoder(workspace)
    _save_gguf(workspace, model, encoder.tokens)
    # From the rounded weights: what the sheet shows is what the file holds.
    pipeline = load_pipeline(workspace.pipeline)
    _check_tokenizer(pipeline, encoder)
    pictures = [draw(pipeline, prompt, 0, encoder.tokens) for prompt in SHEET_PROMPTS]
    contact_sheet(pictures, columns=6).save(workspace.export / "samples.png")
    write_json(workspace.export / "numbers.json", _numbers(workspace, collection, model))
    print(f"{model}: {model.stat().st_size / 1e6:.1f} MB")


def load_pipeline(folder: pathlib.Path) -> AuraFlowPipeline:
    """The folder as diffusers opens it, in float32 and without progress bars."""
    pipeline = AuraFlowPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: AuraFlowPipeline, prompt: str, seed: int, tokens: int):
    """A picture with the settings that the file has as defaults."""
    return pipeline(
        prompt=prompt, num_inference_steps=STEPS, guidance_scale=GUIDANCE, max_sequence_length=tokens, width=SIZE,
        height=SIZE, generator=torch.Generator().manual_seed(seed),
    ).images[0]


def _save_pipeline(workspace: Workspace, preset: Preset) -> None:
    """Assembles the parts; weights in F16."""
    tokenizer = LlamaTokenizerFast.from_pretrained(workspace.tokenizer)
    denoiser = workspace.needs(workspace.denoiser, "transformer")
    pipeline = AuraFlowPipeline(
        tokenizer=tokenizer, text_encoder=UMT5EncoderModel.from_pretrained(denoiser / "text_encoder"),
        vae=AutoencoderKL.from_pretrained(workspace.needs(workspace.autoencoder, "vae")),
        transformer=AuraFlowTransformer2DModel.from_pretrained(denoiser / "transformer"),
        scheduler=networks.scheduler(preset.transformer_training.shift),
    )
    shutil.rmtree(workspace.pipeline, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(workspace.pipeline)
    shutil.copy(workspace.tokenizer / "tokenizer.model", workspace.pipeline / "tokenizer")


def _save_gguf(workspace: Workspace, model: pathlib.Path, tokens: int) -> None:
    """Packs the folder with the project's own exporter."""
    subprocess.run(
        [
            sys.executable, EXPORTER, workspace.pipeline, model, "--name", "AuraFlow Icons", "--width", str(SIZE),
            "--height", str(SIZE), "--steps", str(STEPS), "--guidance", str(GUIDANCE), "--max-sequence-length",
            str(tokens),
        ],
        check=True,
    )


def _check_tokenizer(pipeline: AuraFlowPipeline, encoder: Encoder) -> None:
    """The pipeline must read captions as training did."""
    for prompt in (*SHEET_PROMPTS, "", "A lion."):
        expected = [value for value, kept in zip(*(rows[0] for rows in encoder([prompt]))) if kept]
        found = pipeline.tokenizer(prompt)["input_ids"]
        if found != expected:
            raise SystemExit(f"{prompt!r}: the pipeline's tokenizer gives {found}, training used {expected}")


def _numbers(workspace: Workspace, collection: Collection, model: pathlib.Path) -> dict:
    """What a model card states: sizes, data, cost, quality of the autoencoder, versions."""
    def last_row(name: str) -> dict:
        rows = (workspace.checkpoints / f"{name}.jsonl").read_text().splitlines()
        return json.loads(rows[-1])

    def parameters(part: str) -> int:
        folder = workspace.pipeline / part
        return sum(file.stat().st_size for file in folder.glob("*.safetensors")) // 2

    quality = json.loads((workspace.autoencoder / "quality.json").read_text())
    packages = ("torch", "diffusers", "transformers", "sentencepiece", "gguf")
    return {
        "file_bytes": model.stat().st_size,
        "parameters": {part: parameters(part) for part in ("transformer", "text_encoder", "vae")},
        "source": collection.manifest["source"],
        "subjects": list(dict.fromkeys(drawing.subject.key for drawing in collection.drawings)),
        "backgrounds": list(collection.backgrounds),
        "styles": collection.manifest["styles"],
        "autoencoder": {key: value for key, value in quality.items() if key != "psnr_by_drawing"},
        "training": {name: last_row(name) for name in ("vae", "reading", "transformer", "refinement")},
        "processor": platform.machine(),
        "versions": {name: metadata.version(name) for name in packages},
    }
