"""Opens converted FLUX.1 files with the programs that people use beside ours, and compares what they compute.

    python tools/interop/check_flux.py --auraflow .build/release/auraflow --types q8_0,q4_K_M

For each type, with a small model of random weights:

* gguf-py's `GGUFReader` reads the transformer and both text encoders; names, dims and types are those that city96's
  quantizer gives and that ComfyUI-GGUF and stable-diffusion.cpp ask for (their rules are restated here as tables), and
  decoded weights lie within the type's error of the originals.
* diffusers loads the transformer with `from_single_file`, from GGUF and from safetensors, and the folder with
  `from_pretrained`; pipelines with them draw the same latents as `auraflow generate --activations exact`.

Needs the packages of tools/reference/requirements.txt. Ends with 1 if anything differs.
"""

import argparse
import inspect
import pathlib
import re
import sys
import tempfile

import check_converted
import numpy as np
import torch
from check_converted import BOUNDS, check_comfy, check_text_encoder, check_weights, decoded, expect, relative_error, run
from diffusers import FluxPipeline, FluxTransformer2DModel, GGUFQuantizationConfig
from diffusers.loaders import single_file_model, single_file_utils
from gguf import GGUFReader
from safetensors.numpy import load_file

PROMPT = "a red apple on a blue background"
WIDTH, HEIGHT, STEPS, GUIDANCE, SEED, TOKENS = 128, 96, 3, 3.5, 7, 24
# Relative to the largest latent: activations of 16 bits, whose rounding counts more in types with minimums since sums of
# codes and of minimums cancel each other; and float32 in another order.
QUANTIZED_TOLERANCE, PLAIN_TOLERANCE = 2e-3, 1e-4

# Names and types by city96's converter and patched llama-quantize: what begins like this is not quantized.
KEPT = ("img_in.", "txt_in.", "time_in.", "vector_in.", "guidance_in.", "final_layer.")
# The type of matrices whose names hold `attn.qkv.weight`, by the mix; others have the mix's own.
FUSED = {"q3_k_m": "Q4_K", "q3_k_l": "Q4_K", "q4_k_m": "Q5_K", "q5_k_m": "Q6_K"}
# stable-diffusion.cpp puts these before the names of files of a part.
SD_CPP_PREFIXES = {"t5xxl": "text_encoders.t5xxl.transformer.", "clip-l": "text_encoders.clip_l.transformer."}
# And replaces in names of T5, once each and in this order.
SD_CPP_T5 = [
    ("enc.", "encoder."), ("blk.", "block."), ("output_norm.", "final_layer_norm."),
    ("attn_q.", "layer.0.SelfAttention.q."), ("attn_k.", "layer.0.SelfAttention.k."),
    ("attn_v.", "layer.0.SelfAttention.v."), ("attn_o.", "layer.0.SelfAttention.o."),
    ("attn_norm.", "layer.0.layer_norm."), ("ffn_norm.", "layer.1.layer_norm."),
    ("ffn_up.", "layer.1.DenseReluDense.wi_1."), ("ffn_down.", "layer.1.DenseReluDense.wo."),
    ("ffn_gate.", "layer.1.DenseReluDense.wi_0."),
    ("attn_rel_b.", "layer.0.SelfAttention.relative_attention_bias."), ("token_embd.", "shared."),
]
# diffusers' modules by the original ones; several are one after the other.
BORDERS = {
    "img_in": "x_embedder", "txt_in": "context_embedder", "final_layer.linear": "proj_out",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
}
DOUBLE = {
    "img_mod.lin": ["norm1.linear"], "txt_mod.lin": ["norm1_context.linear"],
    "img_attn.qkv": ["attn.to_q", "attn.to_k", "attn.to_v"],
    "txt_attn.qkv": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
    "img_attn.proj": ["attn.to_out.0"], "txt_attn.proj": ["attn.to_add_out"],
    "img_mlp.0": ["ff.net.0.proj"], "img_mlp.2": ["ff.net.2"],
    "txt_mlp.0": ["ff_context.net.0.proj"], "txt_mlp.2": ["ff_context.net.2"],
}
SINGLE = {
    "modulation.lin": ["norm.linear"], "linear1": ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"],
    "linear2": ["proj_out"],
}
DOUBLE_NORMS = {
    "img_attn.norm.query_norm": "attn.norm_q", "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q", "txt_attn.norm.key_norm": "attn.norm_added_k",
}
SINGLE_NORMS = {"norm.query_norm": "attn.norm_q", "norm.key_norm": "attn.norm_k"}


def original_transformer(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The folder's transformer under the original names, by another way than the one that is checked."""
    stored = load_file(next((folder / "transformer").glob("*.safetensors")))
    stored = {name: values.astype(np.float32) for name, values in stored.items()}
    result = {}

    def add(original: str, modules: list[str]) -> None:
        for end in ("weight", "bias"):
            parts = [stored.pop(f"{module}.{end}") for module in modules]
            if original == "final_layer.adaLN_modulation.1":
                parts = np.split(parts[0], 2)[::-1]
            result[f"{original}.{end}"] = np.concatenate(parts)

    for original, module in BORDERS.items():
        if f"{module}.weight" in stored:
            add(original, [module])
    for stack, modules, norms, theirs in (
        ("double_blocks", DOUBLE, DOUBLE_NORMS, "transformer_blocks"),
        ("single_blocks", SINGLE, SINGLE_NORMS, "single_transformer_blocks"),
    ):
        layers = {int(match[1]) for name in stored if (match := re.match(rf"{theirs}\.(\d+)\.", name))}
        for layer in layers:
            for original, names in modules.items():
                add(f"{stack}.{layer}.{original}", [f"{theirs}.{layer}.{name}" for name in names])
            for original, name in norms.items():
                result[f"{stack}.{layer}.{original}.scale"] = stored.pop(f"{theirs}.{layer}.{name}.weight")
    expect(not stored, f"{folder.name}: {len(stored)} tensors have no original name, such as {next(iter(stored), '')}")
    return result


def text_encoder(folder: pathlib.Path, part: str) -> dict[str, np.ndarray]:
    """A text encoder of the folder under Hugging Face's names."""
    weights = load_file(next((folder / part).glob("*.safetensors")))
    return {name: values.astype(np.float32) for name, values in weights.items() if "embed_tokens" not in name}


def check_types(reader: GGUFReader, kind: str) -> None:
    """Each tensor's type by the quantizer's rules."""
    mix = kind.lower()
    base = re.sub("_[SML]$", "", kind.upper())
    for tensor in reader.tensors:
        plain = base in ("F32", "F16", "BF16")
        if len(tensor.shape) < 2:
            expected = {"F32"}
        elif tensor.name.startswith(KEPT) and not plain:
            # Its files have what their source had: both readers take either.
            expected = {"F32", "F16"}
        elif "attn.qkv.weight" in tensor.name:
            expected = {FUSED.get(mix, base)}
        else:
            expected = {base}
        expect(tensor.tensor_type.name in expected, f"{kind}: {tensor.name} is {tensor.tensor_type.name}")


def check_sd_cpp(path: pathlib.Path, part: str, originals: dict[str, np.ndarray]) -> None:
    """Names as stable-diffusion.cpp makes them of a file that is given as a part."""
    prefix = SD_CPP_PREFIXES[part]
    for tensor in GGUFReader(path).tensors:
        name = prefix + tensor.name
        for old, new in SD_CPP_T5 if part == "t5xxl" else []:
            name = name.replace(old, new, 1)
        reference = originals.get(name.removeprefix(prefix))
        expect(reference is not None, f"{path.name}: {tensor.name} becomes {name}")
        if reference is None:
            continue
        values = decoded(tensor)
        expect(values.shape == reference.shape, f"{path.name}: {tensor.name} has {values.shape}")
        error, bound = relative_error(values, reference), BOUNDS[tensor.tensor_type.name]
        # Biases and norms are constants, and few numbers vary more than many.
        expect(error <= 1.2 * bound, f"{path.name}: {tensor.name} error {error:.5f} over {bound}")


def use_width(width: int) -> None:
    """Lets diffusers convert a model of another width: the published one is written into its converter."""
    name = "convert_flux_transformer_checkpoint_to_diffusers"
    source = inspect.getsource(getattr(single_file_utils, name)).replace("inner_dim = 3072", f"inner_dim = {width}")
    exec(source, single_file_utils.__dict__)
    function = single_file_utils.__dict__[name]
    single_file_model.SINGLE_FILE_LOADABLE_CLASSES["FluxTransformer2DModel"]["checkpoint_mapping_fn"] = function


def draw(folder: pathlib.Path, transformer: FluxTransformer2DModel | None = None) -> np.ndarray:
    """Latents `[1, channels, height, width]` of diffusers' pipeline with a folder."""
    parts = {} if transformer is None else {"transformer": transformer}
    pipeline = FluxPipeline.from_pretrained(str(folder), torch_dtype=torch.float32, **parts)
    pipeline.set_progress_bar_config(disable=True)
    packed = pipeline(
        PROMPT, height=HEIGHT, width=WIDTH, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
        max_sequence_length=TOKENS, generator=torch.Generator().manual_seed(SEED), output_type="latent").images
    return pipeline._unpack_latents(packed, HEIGHT, WIDTH, pipeline.vae_scale_factor).float().numpy()


def single_file(folder: pathlib.Path, path: pathlib.Path) -> FluxTransformer2DModel:
    """A transformer as diffusers opens a file of it."""
    quantized = {"quantization_config": GGUFQuantizationConfig(compute_dtype=torch.float32)}
    return FluxTransformer2DModel.from_single_file(
        str(path), torch_dtype=torch.float32, config=str(folder), subfolder="transformer",
        **(quantized if path.suffix == ".gguf" else {}))


def draw_ours(auraflow: str, folder: pathlib.Path, work: pathlib.Path, *options) -> np.ndarray:
    """What the program draws."""
    run(auraflow, "generate", "-m", folder, "-p", PROMPT, "-W", WIDTH, "-H", HEIGHT, "--steps", STEPS, "--guidance",
        GUIDANCE, "--max-sequence-length", TOKENS, "--seed", SEED, "--activations", "exact", "-o", work / "picture.png",
        "--save-latents", work / "latents.safetensors", "--force", "-q", *options)
    return next(iter(load_file(work / "latents.safetensors").values()))


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def check_plain(auraflow: str, folder: pathlib.Path, work: pathlib.Path) -> None:
    """Folders, and the transformer in the original names."""
    ours = draw_ours(auraflow, folder, work)
    run(auraflow, "convert", folder, work / "whole.gguf", "--type", "f32", "-q")
    run(auraflow, "convert", work / "whole.gguf", f"{work}/back/", "--type", "f32", "-q")
    run(auraflow, "convert", folder, work / "transformer.safetensors", "--type", "f32", "--part", "transformer", "-q")
    for what, latents in (
        ("synthesized folder", draw(folder)), ("converted folder", draw(work / "back")),
        ("safetensors transformer", draw(folder, single_file(folder, work / "transformer.safetensors"))),
    ):
        error = difference(ours, latents)
        expect(error < PLAIN_TOLERANCE, f"{what}: latents differ from diffusers' by {error:.2e}")
        print(f"{what}: largest difference of latents to diffusers {error:.1e}")
    originals = original_transformer(folder)
    stored = load_file(work / "transformer.safetensors")
    expect(stored.keys() == originals.keys(), "transformer.safetensors: names differ")
    for name in stored.keys() & originals.keys():
        expect(np.array_equal(stored[name], originals[name]), f"transformer.safetensors: {name} differs")


def check_type(auraflow: str, kind: str, folder: pathlib.Path, work: pathlib.Path) -> None:
    """Everything for one type."""
    files = {part: work / f"{part}-{kind}.gguf" for part in ("transformer", "t5xxl", "clip-l")}
    for part, path in files.items():
        run(auraflow, "convert", folder, path, "--type", kind, "--part", part, "-q")
    reader = check_comfy(files["transformer"], {"flux"})
    check_weights(reader, original_transformer(folder), files["transformer"].name)
    check_types(reader, kind)
    t5, clip = text_encoder(folder, "text_encoder_2"), text_encoder(folder, "text_encoder")
    check_text_encoder(files["t5xxl"], t5)
    check_sd_cpp(files["t5xxl"], "t5xxl", t5)
    check_sd_cpp(files["clip-l"], "clip-l", clip)
    try:
        theirs = draw(folder, single_file(folder, files["transformer"]))
    except ValueError as error:
        # It has no decoder for some types, and says so.
        print(f"{kind:8} weights as promised; diffusers: {str(error).strip().splitlines()[0][:80]}")
        return
    error = difference(draw_ours(auraflow, folder, work, "--transformer", files["transformer"]), theirs)
    expect(error < QUANTIZED_TOLERANCE, f"{kind}: latents differ from diffusers' by {error:.2e}")
    print(f"{kind:8} weights as promised; largest difference of latents to diffusers {error:.1e}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--auraflow", default=".build/release/auraflow")
    parser.add_argument(
        "--types", default="f32,f16,bf16,q8_0,q6_K,q5_K_M,q5_K_S,q5_1,q5_0,q4_K_M,q4_K_S,q4_1,q4_0,q3_K_L,q3_K_M,"
        "q3_K_S,q2_K")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        work = pathlib.Path(place)
        folder = work / "model"
        run(arguments.auraflow, "synthesize", "--preset", "tiny-flux", "--type", "f16", f"{folder}/")
        use_width(load_file(next((folder / "transformer").glob("*.safetensors")))["x_embedder.weight"].shape[0])
        check_plain(arguments.auraflow, folder, work)
        for kind in arguments.types.split(","):
            check_type(arguments.auraflow, kind, folder, work)
    print(f"{len(check_converted.faults)} faults")
    return 1 if check_converted.faults else 0


if __name__ == "__main__":
    sys.exit(main())
