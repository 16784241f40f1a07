"""Whole tiny FluxPipelines: folders as people have them (weights seeded), requests and results."""

import json
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer, T5Tokenizer

import flux_vocabulary
import models
import seeded
from common import FIXTURES, quiet, write_json, write_tensors
from flux_cases import CLIP_VOCABULARY, MODELS
from make_pipelines import check_image
from seeded import Manifest

WEIGHT_FILES = {
    "transformer": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
    "text_encoder_2": "model.safetensors",
}
FOLDER = FIXTURES / "flux-pipelines"
# Files of the published tokenizers that the smallest folders lack.
LACKING = {
    "tokenizer": ("vocab.json", "special_tokens_map.json", "tokenizer_config.json"),
    "tokenizer_2": ("tokenizer.json", "tokenizer_config.json"),
}


def write_tokenizers(folder: Path) -> None:
    """Both tokenizers as they are published."""
    flux_vocabulary.write_clip(folder / "tokenizer")
    flux_vocabulary.write_t5(folder / "tokenizer_2")


def write_folder(case: str, folder: Path) -> None:
    """The pipeline folder with `weights.json` in place of weights."""
    options = MODELS[case]
    salt = f"flux-pipelines/{case}"
    parts = {
        "text_encoder": models.clip_text(f"{salt}/text_encoder", **options["clip"]),
        "text_encoder_2": models.t5_encoder(f"{salt}/text_encoder_2", **options["t5"]),
        "transformer": models.flux_transformer(f"{salt}/transformer", **options["transformer"]),
        "vae": models.vae(f"{salt}/vae", **options["vae"]),
    }
    if folder.exists():
        shutil.rmtree(folder)
    write_tokenizers(folder)
    pipeline = FluxPipeline(
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=T5Tokenizer.from_pretrained(folder / "tokenizer_2"),
        scheduler=FlowMatchEulerDiscreteScheduler(**options["scheduler"]),
        **{name: model for name, (model, _) in parts.items()},
    )
    assert len(pipeline.tokenizer) == CLIP_VOCABULARY
    prompts = [row[key] for row in options["requests"].values() for key in ("prompt", "negative_prompt")]
    flux_vocabulary.check_t5(pipeline.tokenizer_2, [prompt for prompt in prompts if prompt is not None])
    saved_tokenizers = options["tokenizers"] == "saved"
    if saved_tokenizers:
        shutil.rmtree(folder)
    with tempfile.TemporaryDirectory() as name:
        saved = Path(name)
        pipeline.save_pretrained(saved, safe_serialization=True)
        for file in saved.rglob("*.json"):
            if file.parent.name.startswith("tokenizer") and not saved_tokenizers:
                continue
            target = folder / file.relative_to(saved)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    if saved_tokenizers:
        # Whether the machine was offline is no fact about a tokenizer.
        for file in folder.glob("tokenizer*/tokenizer_config.json"):
            content = json.loads(file.read_text())
            write_json(file, {key: content[key] for key in content if key not in ("is_local", "local_files_only")})
    if options["tokenizers"] == "minimal":
        for part, files in LACKING.items():
            for file in files:
                (folder / part / file).unlink()
    for part, (_, manifest) in parts.items():
        manifest.write(folder / part / "weights.json")


def load(folder: Path) -> FluxPipeline:
    """Loads a fixture folder the way any diffusers folder is loaded, after writing out its seeded weights."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "pipeline"
        shutil.copytree(folder, copy)
        for component, file in WEIGHT_FILES.items():
            state = Manifest.read(copy / component / "weights.json").state_dict()
            save_file(state, copy / component / file, metadata={"format": "pt"})
        if not (copy / "tokenizer_2" / "tokenizer_config.json").exists():
            write_tokenizers(copy)
        pipeline = FluxPipeline.from_pretrained(copy, dtype=torch.float32)
        for component, file in WEIGHT_FILES.items():
            check_loaded(getattr(pipeline, component), load_file(copy / component / file))
        return pipeline


def check_loaded(model: torch.nn.Module, stored: dict[str, torch.Tensor]) -> None:
    """Every stored tensor must have arrived; transformers only warns about names that it does not know."""
    state = model.state_dict()
    for name, value in stored.items():
        assert torch.equal(state[name if name in state else name.removeprefix(models.CLIP_PREFIX)], value), name


def record(pipeline: FluxPipeline, tensors: dict[str, torch.Tensor]) -> None:
    """Keeps what the encoders and the noise generator return."""
    encode, prepare = pipeline.encode_prompt, pipeline.prepare_latents
    prefixes = iter(("", "negative_"))

    def encode_and_keep(*args, **kwargs):
        result = encode(*args, **kwargs)
        prefix = next(prefixes)
        tensors[f"{prefix}prompt_embeds"], tensors[f"{prefix}pooled_prompt_embeds"] = result[0][0], result[1][0]
        return result

    def prepare_and_keep(*args, **kwargs):
        result = prepare(*args, **kwargs)
        tensors["noise"] = result[0]
        return result

    pipeline.encode_prompt, pipeline.prepare_latents = encode_and_keep, prepare_and_keep


def token_ids(pipeline: FluxPipeline, asked: dict) -> dict[str, torch.Tensor]:
    """The padded ids of both encoders."""
    result = {}
    for prefix, prompt in (("", asked["prompt"]), ("negative_", asked["negative_prompt"])):
        if prompt is None:
            continue
        for name, tokenizer, length in (
            ("clip_ids", pipeline.tokenizer, 77),
            ("t5_ids", pipeline.tokenizer_2, asked["max_sequence_length"]),
        ):
            encoded = tokenizer(prompt, truncation=True, padding="max_length", max_length=length)
            result[prefix + name] = torch.tensor(encoded["input_ids"])
    return result


def generate(pipeline: FluxPipeline, asked: dict) -> tuple[dict[str, torch.Tensor], list]:
    """Ids, embeddings, noise and final latents (packed; the latter as an image too) and the pictures."""
    tensors = token_ids(pipeline, asked)
    record(pipeline, tensors)
    pipeline.set_progress_bar_config(disable=True)

    def keep_latents(_, step, timestep, values):
        tensors["latents"] = values["latents"]
        return values

    given = None
    if asked["given_latents"]:
        unit = 2 * pipeline.vae_scale_factor
        tokens = (asked["width"] // unit) * (asked["height"] // unit)
        given = seeded.tensor("flux-pipelines/given", [1, tokens, pipeline.transformer.config.in_channels], 1.7)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in asked["seeds"]]
    images = pipeline(
        prompt=asked["prompt"],
        negative_prompt=asked["negative_prompt"],
        true_cfg_scale=asked["true_cfg_scale"],
        width=asked["width"],
        height=asked["height"],
        num_inference_steps=asked["steps"],
        sigmas=asked["sigmas"],
        guidance_scale=asked["guidance_scale"],
        num_images_per_prompt=len(generators),
        generator=generators,
        latents=given,
        max_sequence_length=asked["max_sequence_length"],
        callback_on_step_end=keep_latents,
    ).images
    tensors["latents_unpacked"] = pipeline._unpack_latents(
        tensors["latents"], asked["height"], asked["width"], pipeline.vae_scale_factor
    )
    return tensors, images


def main() -> None:
    quiet()
    for case, options in MODELS.items():
        folder = FOLDER / case
        write_folder(case, folder)
        rows = []
        for name, asked in options["requests"].items():
            tensors, images = generate(load(folder), asked)
            write_tensors(folder / "golden" / f"{name}.safetensors", tensors)
            for index, picture in enumerate(images):
                check_image(f"{case} {name} {index}", picture)
                picture.save(folder / "golden" / f"{name}-{index}.png")
            shapes = {"latents": list(tensors["latents"].shape), "image": list(images[0].size)}
            rows.append({"name": name} | asked | {"shapes": shapes})
        write_json(folder / "requests.json", rows)


if __name__ == "__main__":
    main()
