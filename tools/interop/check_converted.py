"""Opens converted files with the programs that people use beside ours, and compares what they compute.

    python tools/interop/check_converted.py --auraflow .build/release/auraflow --types q8_0,q4_0,q4_K_M

For each type, with a small model of random weights:

* gguf-py's `GGUFReader` reads the transformer and the text encoder; names, dims, types and metadata are what
  ComfyUI-GGUF's loader asks for (its rules are restated in `check_comfy`), and decoded weights lie within the type's
  error of the originals.
* diffusers loads the transformer with `from_single_file` and `GGUFQuantizationConfig`; a pipeline with it draws the
  same latents as `auraflow generate --activations exact` with the same file.

Needs the packages of tools/reference/requirements.txt. Ends with 1 if anything differs.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, GGUFQuantizationConfig
from gguf import GGUFReader, GGMLQuantizationType, quants
from safetensors.numpy import load_file

PROMPT = "a red apple on a blue background"
SIDE, STEPS, GUIDANCE, SEED = 128, 3, 3.5, 7
# Relative root mean squared errors that a type may leave in normally distributed weights.
BOUNDS = {
    "F32": 0.0, "F16": 0.0, "BF16": 3e-3, "Q8_0": 0.00533, "Q6_K": 0.0177, "Q5_K": 0.0362, "Q5_1": 0.0379,
    "Q5_0": 0.0427, "Q4_K": 0.0710, "Q4_1": 0.0778, "Q4_0": 0.0860, "IQ4_NL": 0.0860, "IQ4_XS": 0.0860,
    "Q3_K": 0.152, "Q2_K": 0.293,
}
# llama.cpp's T5 names as ComfyUI-GGUF takes them back, in its order.
T5_NAMES = [
    ("enc.", "encoder."), (".blk.", ".block."), ("token_embd", "shared"), ("output_norm", "final_layer_norm"),
    ("attn_q", "layer.0.SelfAttention.q"), ("attn_k", "layer.0.SelfAttention.k"),
    ("attn_v", "layer.0.SelfAttention.v"), ("attn_o", "layer.0.SelfAttention.o"),
    ("attn_norm", "layer.0.layer_norm"), ("attn_rel_b", "layer.0.SelfAttention.relative_attention_bias"),
    ("ffn_up", "layer.1.DenseReluDense.wi_1"), ("ffn_down", "layer.1.DenseReluDense.wo"),
    ("ffn_gate", "layer.1.DenseReluDense.wi_0"), ("ffn_norm", "layer.1.layer_norm"),
]
# What reaches ComfyUI's model without a linear layer that could decode it.
PARAMETERS = ("positional_encoding", "register_tokens")

faults: list[str] = []


def expect(condition: bool, fault: str) -> None:
    """Notes a fault."""
    if not condition:
        faults.append(fault)
        print("FAULT", fault)


def run(*arguments: str) -> None:
    """Runs a program that must succeed."""
    subprocess.run([str(a) for a in arguments], check=True, stdout=subprocess.DEVNULL)


def decoded(tensor) -> np.ndarray:
    """A tensor's values in PyTorch's order of dimensions."""
    shape = [int(side) for side in reversed(tensor.shape)]
    return quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)


def relative_error(values: np.ndarray, reference: np.ndarray) -> float:
    """Root mean squared error relative to the reference's size."""
    return float(np.sqrt(np.square(values - reference).mean() / max(np.square(reference).mean(), 1e-30)))


def check_comfy(path: pathlib.Path, architectures: set[str]) -> GGUFReader:
    """What ComfyUI-GGUF's loader demands of any file."""
    reader = GGUFReader(path)
    field = reader.get_field("general.architecture")
    expect(field is not None and field.contents() in architectures, f"{path.name}: architecture")
    expect(not any(t.name.startswith("model.diffusion_model.") for t in reader.tensors), f"{path.name}: prefix")
    expect(not any(k.startswith("comfy.gguf.orig_shape") for k in reader.fields), f"{path.name}: original shapes")
    plain = (GGMLQuantizationType.F32, GGMLQuantizationType.F16)
    for tensor in reader.tensors:
        if tensor.name in PARAMETERS or len(tensor.shape) != 2:
            expect(tensor.tensor_type in plain, f"{path.name}: {tensor.name} is {tensor.tensor_type.name}")
        expect(len(tensor.name.encode()) < 64, f"{path.name}: {tensor.name} is too long")
    return reader


def check_weights(reader: GGUFReader, originals: dict[str, np.ndarray], where: str) -> None:
    """Names, dims and values against another file's."""
    names = {tensor.name for tensor in reader.tensors}
    expect(names == set(originals), f"{where}: names differ: {sorted(names ^ set(originals))[:4]}")
    for tensor in reader.tensors:
        reference = originals[tensor.name]
        values = decoded(tensor)
        expect(values.shape == reference.shape, f"{where}: {tensor.name} has {values.shape}, not {reference.shape}")
        error, bound = relative_error(values, reference), BOUNDS[tensor.tensor_type.name]
        expect(error <= bound, f"{where}: {tensor.name} {tensor.tensor_type.name} error {error:.5f} over {bound}")


def original_transformer(folder: pathlib.Path, auraflow: str, work: pathlib.Path) -> dict[str, np.ndarray]:
    """The folder's transformer under the original names, by another way than the one that is checked."""
    import re

    names = {"joint_transformer_blocks": "double_layers", "single_transformer_blocks": "single_layers"}
    globals_ = {
        "pos_embed.pos_embed": "positional_encoding", "register_tokens": "register_tokens",
        "pos_embed.proj": "init_x_linear", "time_step_proj.linear_1": "t_embedder.mlp.0",
        "time_step_proj.linear_2": "t_embedder.mlp.2", "context_embedder": "cond_seq_linear",
        "proj_out": "final_linear", "norm_out.linear": "modF.1",
    }
    joint = {
        "attn.add_q_proj": "attn.w1q", "attn.add_k_proj": "attn.w1k", "attn.add_v_proj": "attn.w1v",
        "attn.to_add_out": "attn.w1o", "attn.to_q": "attn.w2q", "attn.to_k": "attn.w2k", "attn.to_v": "attn.w2v",
        "attn.to_out.0": "attn.w2o", "ff.linear_1": "mlpX.c_fc1", "ff.linear_2": "mlpX.c_fc2",
        "ff.out_projection": "mlpX.c_proj", "ff_context.linear_1": "mlpC.c_fc1", "ff_context.linear_2": "mlpC.c_fc2",
        "ff_context.out_projection": "mlpC.c_proj", "norm1.linear": "modX.1", "norm1_context.linear": "modC.1",
    }
    single = {
        "attn.to_q": "attn.w1q", "attn.to_k": "attn.w1k", "attn.to_v": "attn.w1v", "attn.to_out.0": "attn.w1o",
        "ff.linear_1": "mlp.c_fc1", "ff.linear_2": "mlp.c_fc2", "ff.out_projection": "mlp.c_proj",
        "norm1.linear": "modCX.1",
    }
    result = {}
    for name, values in load_file(next((folder / "transformer").glob("*.safetensors"))).items():
        module, _, end = name.rpartition(".") if name.endswith((".weight", ".bias")) else (name, "", "")
        if match := re.fullmatch(r"(\w+)\.(\d+)\.(.+)", module):
            table = joint if match[1].startswith("joint") else single
            module = f"{names[match[1]]}.{match[2]}.{table[match[3]]}"
        else:
            module = globals_[module]
        if module == "modF.1":
            values = np.concatenate(np.split(values, 2)[::-1])
        result[f"{module}.{end}" if end else module] = values.astype(np.float32)
    return result


def original_text_encoder(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The folder's text encoder under Hugging Face's names."""
    weights = load_file(next((folder / "text_encoder").glob("*.safetensors")))
    return {name: values.astype(np.float32) for name, values in weights.items() if "embed_tokens" not in name}


def check_text_encoder(path: pathlib.Path, originals: dict[str, np.ndarray]) -> None:
    """Names, values and the keys that llama.cpp reads before anything else."""
    reader = check_comfy(path, {"t5encoder"})
    for tensor in reader.tensors:
        name = tensor.name
        for ours, theirs in T5_NAMES:
            name = name.replace(ours, theirs)
        expect(name in originals, f"{path.name}: {tensor.name} becomes {name}")
        if name in originals:
            error, bound = relative_error(decoded(tensor), originals[name]), BOUNDS[tensor.tensor_type.name]
            expect(error <= bound, f"{path.name}: {name} error {error:.5f} over {bound}")
    expect(len(reader.tensors) == len(originals), f"{path.name}: {len(reader.tensors)} tensors")
    for key in ("block_count", "embedding_length", "feed_forward_length", "attention.head_count",
                "attention.key_length", "attention.layer_norm_rms_epsilon", "attention.relative_buckets_count"):
        expect(reader.get_field(f"t5encoder.{key}") is not None, f"{path.name}: no t5encoder.{key}")
    tokens = reader.get_field("tokenizer.ggml.tokens")
    rows = next(t for t in reader.tensors if t.name == "token_embd.weight").shape[1]
    expect(tokens is not None and len(tokens.data) == rows, f"{path.name}: tokens for {rows} rows")


def latents_of_diffusers(folder: pathlib.Path, transformer: pathlib.Path) -> np.ndarray:
    """What diffusers draws with a converted transformer."""
    model = AuraFlowTransformer2DModel.from_single_file(
        str(transformer), quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32),
        torch_dtype=torch.float32, config=str(folder), subfolder="transformer")
    pipeline = AuraFlowPipeline.from_pretrained(str(folder), transformer=model, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    result = pipeline(
        PROMPT, height=SIDE, width=SIDE, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
        max_sequence_length=32, generator=torch.Generator().manual_seed(SEED), output_type="latent")
    return result.images.float().numpy()


def latents_of_ours(auraflow: str, folder: pathlib.Path, transformer: pathlib.Path, work: pathlib.Path) -> np.ndarray:
    """What the program draws with it."""
    run(auraflow, "generate", "-m", folder, "--transformer", transformer, "-p", PROMPT, "-W", SIDE, "-H", SIDE,
        "--steps", STEPS, "--guidance-scale", GUIDANCE, "--max-sequence-length", 32, "--seed", SEED,
        "--activations", "exact", "--head-dimension", 256, "-o", work / "picture.png", "--save-latents",
        work / "latents.safetensors", "--force", "-q")
    return next(iter(load_file(work / "latents.safetensors").values()))


def check_type(auraflow: str, kind: str, folder: pathlib.Path, work: pathlib.Path) -> None:
    """Everything for one type."""
    transformer, encoder = work / f"transformer-{kind}.gguf", work / f"encoder-{kind}.gguf"
    run(auraflow, "convert", folder, transformer, "--type", kind, "--part", "transformer", "-q")
    run(auraflow, "convert", folder, encoder, "--type", kind, "--part", "text-encoder", "-q")
    reader = check_comfy(transformer, {"aura"})
    check_weights(reader, original_transformer(folder, auraflow, work), transformer.name)
    check_text_encoder(encoder, original_text_encoder(folder))
    ours = latents_of_ours(auraflow, folder, transformer, work)
    try:
        theirs = latents_of_diffusers(folder, transformer)
    except ValueError as error:
        # It has no decoder for some types, and says so.
        print(f"{kind:8} weights as promised; diffusers: {str(error).strip().splitlines()[0][:80]}")
        return
    error = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    expect(error < 1e-3, f"{kind}: latents differ from diffusers' by {error:.2e}")
    print(f"{kind:8} weights as promised; largest difference of latents to diffusers {error:.1e}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--auraflow", default=".build/release/auraflow")
    parser.add_argument("--types", default="f32,f16,bf16,q8_0,q5_1,q5_0,q4_1,q4_0,q6_K,q5_K_M,q4_K_M,q4_K,q3_K_M,q2_K")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        work = pathlib.Path(place)
        folder = work / "model"
        run(arguments.auraflow, "synthesize", "--preset", "tiny", "--type", "f16", f"{folder}/")
        for kind in arguments.types.split(","):
            check_type(arguments.auraflow, kind, folder, work)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
