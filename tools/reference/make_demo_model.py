"""Pictures and final latents of the demo checkpoint: `make_demo_model.py --pipeline DIR`."""

import argparse
from pathlib import Path

import torch
from diffusers import AuraFlowPipeline

from common import FIXTURES, quiet, write_json, write_tensors
from make_pipelines import generate

PROMPTS = (
    "a red apple on a blue background",
    "on a black background, a rocket",
    "a cat in front of a green wall",
)
TOKENS = 16  # That the text encoder reads: the model's own default.


def request(prompt: str, seed: int) -> dict:
    """The settings the demo model was trained for."""
    return {
        "prompt": prompt,
        "negative_prompt": "",
        "width": 128,
        "height": 128,
        "steps": 20,
        "guidance_scale": 3.0,
        "seeds": [seed],
        "max_sequence_length": TOKENS,
        "sigmas": None,
    }


def make(pipeline_folder: Path) -> None:
    """Writes one picture per prompt; prompt i uses seed i."""
    quiet()
    folder = FIXTURES / "demo-model"
    folder.mkdir(parents=True, exist_ok=True)
    requests, tensors = [], {}
    for index, prompt in enumerate(PROMPTS):
        pipeline = AuraFlowPipeline.from_pretrained(pipeline_folder, dtype=torch.float32)
        asked = request(prompt, seed=index)
        result, images = generate(pipeline, asked)
        requests.append(asked)
        tensors |= {f"{name}.{index}": result[name] for name in ("input_ids", "prompt_embeds", "noise", "latents")}
        images[0].save(folder / f"image-{index}.png")
    write_json(folder / "requests.json", requests)
    write_tensors(folder / "golden.safetensors", tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, required=True, help="diffusers folder of the demo checkpoint")
    make(parser.parse_args().pipeline)


if __name__ == "__main__":
    main()
