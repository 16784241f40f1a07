"""Whole tiny AuraFlowPipelines: folders as `save_pretrained` writes them (weights seeded), requests and results."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import AuraFlowPipeline, FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file
from transformers import LlamaTokenizer

import models
import vocabulary
from common import FIXTURES, quiet, write_json, write_tensors
from seeded import Manifest

WEIGHT_FILES = {
    "transformer": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}
FOLDER = FIXTURES / "pipelines"


def text(width: int, layers: int = 2, heads: int = 2, head: int = 16, hidden: int = 48) -> dict:
    """Text encoder options."""
    return dict(vocab_size=384, d_model=width, d_kv=head, d_ff=hidden, num_layers=layers, num_heads=heads)


def blocks(head: int, heads: int, joint: int, single: int, width: int, positions: int, channels: int = 4) -> dict:
    """Transformer options."""
    return dict(
        sample_size=16,
        attention_head_dim=head,
        num_attention_heads=heads,
        num_mmdit_layers=joint,
        num_single_dit_layers=single,
        joint_attention_dim=width,
        pos_embed_max_size=positions,
        in_channels=channels,
        out_channels=channels,
    )


def image(channels: tuple[int, ...], layers: int, groups: int, scaling: float, **options) -> dict:
    """VAE options."""
    return dict(
        sample_size=64,
        block_out_channels=channels,
        layers_per_block=layers,
        norm_num_groups=groups,
        scaling_factor=scaling,
        **{"latent_channels": 4} | options,
    )


def request(prompt: str, width: int, height: int, steps: int, guidance: float, seeds: list[int], **options) -> dict:
    """What the pipeline is asked for; one image per seed."""
    defaults = dict(negative_prompt="", max_sequence_length=24, sigmas=None)
    return (
        dict(
            prompt=prompt,
            width=width,
            height=height,
            steps=steps,
            guidance_scale=guidance,
            seeds=seeds,
        )
        | defaults
        | options
    )


# tokenizer: "json" (tokenizer.json as transformers writes it), "both" (and tokenizer.model), "used" (written after
# a call, so that the call's truncation and padding are in the file, which later calls override), or "legacy" (a
# tokenizer.json whose normalizer adds the prefix, as older folders have).
CASES = {
    "square": dict(
        text=text(24),
        transformer=blocks(16, 2, 2, 2, 24, 144),
        vae=image((8, 16, 16, 16), 1, 4, 0.13025),
        shift=1.73,
        tokenizer="json",
        request=request("a red fox beside a quiet river", 64, 64, 3, 3.5, [0]),
    ),
    "wide-negative": dict(
        text=text(32, layers=1, heads=4, head=8),
        transformer=blocks(8, 4, 1, 2, 32, 144),
        vae=image((16, 24, 32), 2, 8, 0.5, mid_block_add_attention=False),
        shift=3.0,
        tokenizer="both",
        request=request(
            "a photograph of two cats", 96, 48, 5, 7.0, [42], negative_prompt="blurry, low quality, a bad drawing"
        ),
    ),
    "tall-truncated": dict(
        text=text(20),
        transformer=blocks(24, 2, 1, 1, 20, 100),
        vae=image((8, 16, 24), 1, 8, 0.18215),
        shift=1.73,
        tokenizer="json",
        request=request(
            "the night train crosses the bridge and its windows shine over the dark water",
            40,
            72,
            2,
            1.0,
            [666],
            max_sequence_length=6,
        ),
    ),
    "unicode-two-images": dict(
        text=text(24, layers=3, head=8),
        transformer=blocks(20, 2, 2, 3, 24, 81, channels=3),
        vae=image((16, 32), 1, 16, 0.8, latent_channels=3, use_quant_conv=False, use_post_quant_conv=False),
        shift=1.73,
        tokenizer="both",
        request=request(
            "\u65e5\u672c\u306e\u5c71 \u2014 caf\u00e9, H\u00e4uschen \U0001f600 e\u0301",
            36,
            28,
            3,
            3.5,
            [7, 8],
            negative_prompt="dunkel",
            max_sequence_length=40,
        ),
    ),
    "custom-sigmas": dict(
        text=text(64, layers=1, hidden=64),
        transformer=blocks(32, 2, 1, 2, 64, 121),
        vae=image((8, 8, 16, 16), 2, 4, 0.3, mid_block_add_attention=False),
        shift=1.0,
        tokenizer="used",
        request=request(
            "an old lighthouse stands on the cliff", 80, 48, 4, 2.0, [2**32 + 5], sigmas=[1.0, 0.9, 0.35, 0.1]
        ),
    ),
    "one-step": dict(
        text=text(16, layers=1, heads=1),
        transformer=blocks(64, 1, 1, 1, 16, 64),
        vae=image((16, 16, 16, 32), 1, 16, 0.13025),
        shift=1.73,
        tokenizer="json",
        request=request("", 48, 48, 1, 0.0, [1], max_sequence_length=4),
    ),
    "legacy-tokenizer": dict(
        text=text(24),
        transformer=blocks(16, 3, 1, 2, 24, 144),
        vae=image((8, 16), 1, 8, 0.5),
        shift=1.73,
        tokenizer="legacy",
        request=request("  two  spaces</s>, 2048 <unk> apples", 32, 44, 7, 4.5, [3], negative_prompt=" dark"),
    ),
    "quantizable": dict(
        text=text(32, hidden=64),
        transformer=blocks(16, 2, 1, 2, 32, 100),
        vae=image((8, 16), 1, 4, 0.4),
        shift=1.73,
        tokenizer="both",
        request=request("three boats rest in the harbour", 28, 32, 4, 3.5, [11], negative_prompt="noisy"),
    ),
}


def write_tokenizer(folder: Path, kind: str) -> None:
    """The tokenizer folder of a case, before the pipeline is saved around it."""
    model = vocabulary.train_sentencepiece()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = vocabulary.legacy_tokenizer(model) if kind == "legacy" else vocabulary.tokenizer(model)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<unk>",
    }
    if kind == "legacy":
        config |= {"tokenizer_class": "LlamaTokenizerFast", "legacy": True}
    write_json(folder / "tokenizer_config.json", config)
    if kind == "both":
        (folder / "tokenizer.model").write_bytes(model)


def write_folder(case: str, folder: Path) -> None:
    """The pipeline folder with `weights.json` in place of weights."""
    options = CASES[case]
    encoder, encoder_manifest = models.text_encoder(f"{case}/text_encoder", **options["text"])
    transformer, transformer_manifest = models.transformer(f"{case}/transformer", **options["transformer"])
    vae, vae_manifest = models.vae(f"{case}/vae", **options["vae"])
    if folder.exists():
        shutil.rmtree(folder)
    write_tokenizer(folder / "tokenizer", options["tokenizer"])
    pipeline = AuraFlowPipeline(
        tokenizer=LlamaTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder=encoder,
        vae=vae,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=options["shift"]),
    )
    if options["tokenizer"] == "used":
        pipeline.tokenizer("a", truncation=True, max_length=7, padding="max_length")
    with tempfile.TemporaryDirectory() as name:
        saved = Path(name)
        pipeline.save_pretrained(saved, safe_serialization=True)
        for file in saved.rglob("*.json"):
            # Older folders keep the tokenizer files they were published with.
            if options["tokenizer"] == "legacy" and file.parent.name == "tokenizer":
                continue
            target = folder / file.relative_to(saved)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    if options["tokenizer"] == "legacy":
        index = folder / "model_index.json"
        index.write_text(index.read_text().replace('"LlamaTokenizer"', '"LlamaTokenizerFast"'))
    encoder_manifest.write(folder / "text_encoder" / "weights.json")
    transformer_manifest.write(folder / "transformer" / "weights.json")
    vae_manifest.write(folder / "vae" / "weights.json")
    write_json(folder / "request.json", options["request"])


def load(folder: Path) -> AuraFlowPipeline:
    """Loads a fixture folder the way any diffusers folder is loaded, after writing out its seeded weights."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "pipeline"
        shutil.copytree(folder, copy)
        for component, file in WEIGHT_FILES.items():
            save_file(
                Manifest.read(copy / component / "weights.json").state_dict(),
                copy / component / file,
                metadata={"format": "pt"},
            )
        return AuraFlowPipeline.from_pretrained(copy, dtype=torch.float32)


def generate(pipeline: AuraFlowPipeline, asked: dict) -> tuple[dict[str, torch.Tensor], list]:
    """Noise, embeddings, final latents and the images of a request."""
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in asked["seeds"]]
    pipeline.set_progress_bar_config(disable=True)
    tensors: dict[str, torch.Tensor] = {}

    encode = pipeline.encode_prompt

    def encode_and_keep(*args, **kwargs):
        result = encode(*args, **kwargs)
        tensors["prompt_embeds"] = result[0][0]
        if result[2] is not None:
            tensors["negative_prompt_embeds"] = result[2][0]
        return result

    prepare = pipeline.prepare_latents

    def prepare_and_keep(*args, **kwargs):
        tensors["noise"] = prepare(*args, **kwargs)
        return tensors["noise"]

    def keep_latents(_, step, timestep, values):
        tensors["latents"] = values["latents"]
        return values

    pipeline.encode_prompt = encode_and_keep
    pipeline.prepare_latents = prepare_and_keep
    images = pipeline(
        prompt=asked["prompt"],
        negative_prompt=asked["negative_prompt"],
        width=asked["width"],
        height=asked["height"],
        num_inference_steps=asked["steps"],
        sigmas=asked["sigmas"],
        guidance_scale=asked["guidance_scale"],
        num_images_per_prompt=len(generators),
        generator=generators,
        max_sequence_length=asked["max_sequence_length"],
        callback_on_step_end=keep_latents,
    ).images
    for name, prompt in (("input_ids", asked["prompt"]), ("negative_input_ids", asked["negative_prompt"])):
        encoded = pipeline.tokenizer(prompt, truncation=True, max_length=asked["max_sequence_length"])
        tensors[name] = torch.tensor(encoded["input_ids"])
    return tensors, images


def check_image(name: str, picture) -> None:
    """A picture that is flat or clipped tells little."""
    pixels = np.asarray(picture)
    clipped = ((pixels == 0) | (pixels == 255)).mean()
    print(f"{name}: {pixels.shape} std {pixels.std():.1f} clipped {clipped:.4f}")
    assert pixels.std() > 20 and clipped < 0.15, name


def main() -> None:
    quiet()
    for case in CASES:
        folder = FOLDER / case
        write_folder(case, folder)
        asked = json.loads((folder / "request.json").read_text())
        tensors, images = generate(load(folder), asked)
        write_tensors(folder / "golden.safetensors", tensors)
        for index, picture in enumerate(images):
            check_image(f"{case} {index}", picture)
            picture.save(folder / f"image-{index}.png")


if __name__ == "__main__":
    main()
