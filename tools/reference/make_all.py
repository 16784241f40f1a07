"""Makes every fixture and Tests/Fixtures/MANIFEST.json: `make_all.py [--pipeline DIR] [--ggml LIBRARY]
[--only FOLDER ...]`.

Without `--pipeline` the demo checkpoint's fixtures are left as they are, without `--ggml` those of ggml's quantizers.
"""

import argparse
import hashlib
import shutil
from importlib import metadata
from pathlib import Path

import make_activation_rows
import make_adapters
import make_blends
import make_block_formats
import make_checkpoints
import make_clip_text
import make_demo_model
import make_flux_checkpoints
import make_flux_pipelines
import make_flux_schedule
import make_flux_transformer
import make_ggml_errors
import make_image_metrics
import make_imatrix
import make_model_schedulers
import make_noise
import make_picture_starts
import make_pictures
import make_pipelines
import make_prompt_tokenizers
import make_quantization
import make_samplers
import make_scheduler
import make_t5_encoder
import make_text_encoder
import make_time_embedding
import make_tokenizers
import make_transformer
import make_vae
from common import FIXTURES, write_json

# Every script owns one folder.
SCRIPTS = {
    "tokenizers": make_tokenizers,
    "prompt-tokenizers": make_prompt_tokenizers,
    "block-formats": make_block_formats,
    "scheduler": make_scheduler,
    "flux-schedule": make_flux_schedule,
    "samplers": make_samplers,
    "model-schedulers": make_model_schedulers,
    "noise": make_noise,
    "text-encoder": make_text_encoder,
    "t5-encoder": make_t5_encoder,
    "clip-text": make_clip_text,
    "time-embedding": make_time_embedding,
    "transformer": make_transformer,
    "flux-transformer": make_flux_transformer,
    "pictures": make_pictures,
    "vae": make_vae,
    "pipelines": make_pipelines,
    "flux-pipelines": make_flux_pipelines,
    "picture-starts": make_picture_starts,
    "adapters": make_adapters,
    "blends": make_blends,
    "imatrix": make_imatrix,
    "checkpoints": make_checkpoints,
    "flux-checkpoints": make_flux_checkpoints,
    "demo-model": make_demo_model,
    "activations": make_activation_rows,
    "quantization": make_quantization,
    "ggml-errors": make_ggml_errors,
    "image-metrics": make_image_metrics,
}
# What is made from the demo checkpoint.
FROM_CHECKPOINT = (make_demo_model, make_activation_rows)


def packages() -> dict[str, str]:
    """The pinned versions in use."""
    lines = (Path(__file__).parent / "requirements.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lines if "==" in line]
    return {name: metadata.version(name) for name in names}


def write_manifest() -> None:
    """Which script made each file, the files' digests, and what the numbers depend on."""
    files = {}
    for folder, module in SCRIPTS.items():
        for path in sorted((FIXTURES / folder).rglob("*")):
            if path.is_file():
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                files[path.relative_to(FIXTURES).as_posix()] = {"script": f"{module.__name__}.py", "sha256": digest}
    seeds = {
        "noise": list(make_noise.SEEDS),
        "pipelines": {case: options["request"]["seeds"] for case, options in make_pipelines.CASES.items()},
        "flux-pipelines": {
            case: {name: asked["seeds"] for name, asked in options["requests"].items()}
            for case, options in make_flux_pipelines.MODELS.items()
        },
        "picture-starts": {name: asked["seeds"] for name, asked in make_picture_starts.REQUESTS.items()},
        "blends": {name: [asked["seed"], asked["other_seed"]] for name, asked in make_blends.REQUESTS.items()},
        "demo-model": list(range(len(make_demo_model.PROMPTS))),
        "image-metrics": [make_image_metrics.seed(*case) for case in make_image_metrics.CASES],
    }
    versions = packages() | {"ggml": make_ggml_errors.VERSION}
    write_json(FIXTURES / "MANIFEST.json", {"packages": versions, "seeds": seeds, "files": files})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, help="diffusers folder of the demo checkpoint")
    parser.add_argument("--ggml", help="library with ggml_quantize_chunk, such as llama-cpp-python's libggml-base.so")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, help="folders to make again (default: all)")
    options = parser.parse_args()
    pipeline, wanted = options.pipeline, options.only or list(SCRIPTS)
    if options.only and pipeline is None and any(SCRIPTS[folder] in FROM_CHECKPOINT for folder in wanted):
        parser.error("--only demo-model and activations need --pipeline")
    if options.only and options.ggml is None and "ggml-errors" in wanted:
        parser.error("--only ggml-errors needs --ggml")
    for folder, module in SCRIPTS.items():
        if folder not in wanted:
            continue
        if module in FROM_CHECKPOINT and pipeline is None:
            continue
        if module is make_ggml_errors and options.ggml is None:
            continue
        print(f"== {folder}")
        shutil.rmtree(FIXTURES / folder, ignore_errors=True)
        if module in FROM_CHECKPOINT:
            module.make(pipeline)
        elif module is make_ggml_errors:
            module.make(options.ggml)
        else:
            module.main()
    write_manifest()


if __name__ == "__main__":
    main()
