"""Tiny FLUX.1 pipelines' weights in the file formats people share.

What has the pipelines' own values is stored as a layout of their seeded weights (see layouts.py): a transformer under
Black Forest Labs' names, a VAE under LDM names; with prefixes both make an all-in-one file. What has rounded values
is stored: GGUF and fp8. `expected.safetensors` holds the latents that diffusers gets from the *dequantized* weights.
"""

import inspect
import json
from pathlib import Path

import gguf
import torch
from diffusers.loaders import single_file_utils
from gguf import GGMLQuantizationType

import flux_vocabulary
import make_flux_pipelines
import vocabulary
from common import FIXTURES, quiet, write_json, write_tensors
from flux_cases import MODELS
from layouts import Layout, State, flux_layout, ldm_layout
from make_checkpoints import add, finish, float_kind, llama_text_encoder_name, text_encoder_writer
from seeded import Manifest

CASE = "quantizable"
FOLDER = FIXTURES / "flux-checkpoints"
# Prefixes of an all-in-one file of ComfyUI, and the layout or weights whose names follow.
ALL_IN_ONE = {
    "model.diffusion_model.": "transformer.json",
    "vae.": "vae.json",
    "text_encoders.clip_l.transformer.": "text_encoder/weights.json",
    "text_encoders.t5xxl.transformer.": "text_encoder_2/weights.json",
}
# City96's tools keep these in the source's float type.
KEPT = ("img_in.", "txt_in.", "time_in.", "vector_in.", "guidance_in.", "final_layer.")
SMALL_FLOAT = torch.float8_e4m3fn


def manifest(case: str, part: str) -> Manifest:
    """The seeded weights of a pipeline's part."""
    return Manifest.read(make_flux_pipelines.FOLDER / case / part / "weights.json")


def check(case: str, transformer: Layout, vae: Layout) -> None:
    """diffusers' own converters must turn the layouts back into the same weights."""
    width = MODELS[case]["transformer"]["attention_head_dim"] * MODELS[case]["transformer"]["num_attention_heads"]
    # The converter knows no other width than the published one.
    source = inspect.getsource(single_file_utils.convert_flux_transformer_checkpoint_to_diffusers)
    assert "inner_dim = 3072" in source
    names = dict(vars(single_file_utils))
    exec(source.replace("inner_dim = 3072", f"inner_dim = {width}"), names)
    config = json.loads((make_flux_pipelines.FOLDER / case / "vae" / "config.json").read_text())

    def same(converted: State, part: str) -> None:
        state = manifest(case, part).state_dict()
        assert set(converted) == set(state), set(converted) ^ set(state)
        assert all(torch.equal(converted[name], state[name]) for name in state)

    same(names["convert_flux_transformer_checkpoint_to_diffusers"](transformer.state_dict()), "transformer")
    same(transformer.original(transformer.state_dict()), "transformer")
    same(single_file_utils.convert_ldm_vae_checkpoint(vae.state_dict(), config), "vae")


def write_transformer(
    path: Path, layout: Layout, kind: GGMLQuantizationType, file_type: gguf.LlamaFileType
) -> State:
    """A city96-style GGUF; returns the dequantized state under diffusers names."""
    writer = gguf.GGUFWriter(path, "flux")
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(file_type)
    seen = {}
    for name, value in layout.state_dict().items():
        quantizable = kind != GGMLQuantizationType.F16 and value.dim() == 2 and not name.startswith(KEPT)
        seen[name] = add(writer, name, value, kind if quantizable else float_kind(value))
    finish(writer)
    return layout.original(seen)


def add_vocabulary(writer: gguf.GGUFWriter, size: int) -> None:
    """A T5 vocabulary as llama.cpp's converter writes it: ids beyond the SentencePiece model are unused."""
    model = flux_vocabulary.t5_model()
    pieces = vocabulary.pieces(model)
    unused = range(len(pieces), size)
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece for piece, _, _ in pieces] + [f"[PAD{index}]" for index in unused])
    writer.add_token_scores([score for _, score, _ in pieces] + [-10000.0 for _ in unused])
    writer.add_token_types([kind for _, _, kind in pieces] + [int(gguf.TokenType.UNUSED) for _ in unused])
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    writer.add_precompiled_charsmap(flux_vocabulary.character_map(model))
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(True)


def write_t5(path: Path, state: State, config, kind: GGMLQuantizationType, file_type: gguf.LlamaFileType) -> State:
    """A llama.cpp-style GGUF with its tokenizer; returns the dequantized state under its own names."""
    writer = text_encoder_writer(path, config, file_type)
    add_vocabulary(writer, config.vocab_size)
    seen = {}
    for name, value in state.items():
        if value.dim() == 1:
            tensor_kind = GGMLQuantizationType.F32
        else:
            tensor_kind = GGMLQuantizationType.F16 if "relative_attention_bias" in name else kind
        seen[name] = add(writer, llama_text_encoder_name(name), value.contiguous(), tensor_kind)
    finish(writer)
    return seen


def write_small(path: Path, state: State) -> State:
    """Every tensor as fp8 without a scale, biases and norms too; returns the values."""
    small = {name: value.to(SMALL_FLOAT) for name, value in state.items()}
    write_tensors(path, small)
    return {name: value.float() for name, value in small.items()}


def write_scaled(path: Path, state: State, kept, other: torch.dtype) -> State:
    """ComfyUI's scaled fp8: one scale a matrix, all else in another type; returns the values."""
    tensors, seen = {"scaled_fp8": torch.zeros(0, dtype=SMALL_FLOAT)}, {}
    for name, value in state.items():
        if value.dim() == 2 and not kept(name):
            scale = value.abs().max() / torch.finfo(SMALL_FLOAT).max
            layer = name.removesuffix(".weight")
            tensors[name] = (value / scale).to(SMALL_FLOAT)
            tensors[f"{layer}.scale_weight"] = scale
            # A fact about activations, which some files carry.
            tensors[f"{layer}.scale_input"] = torch.tensor(1.0)
            seen[name] = tensors[name].float() * scale
        else:
            tensors[name] = value.to(other)
            seen[name] = tensors[name].float()
    write_tensors(path, tensors)
    return seen


def write_rounded(transformer: Layout, t5: State, config) -> dict[str, tuple[str, State]]:
    """All files with rounded values: for each the component that it replaces, and what it holds."""
    result = {}
    for label, kind, file_type in (
        ("F16", GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
        ("Q8_0", GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    ):
        file = f"transformer_{label}.gguf"
        result[file] = ("transformer", write_transformer(FOLDER / file, transformer, kind, file_type))
        file = f"t5_llamacpp_{label}.gguf"
        result[file] = ("text_encoder_2", write_t5(FOLDER / file, t5, config, kind, file_type))
    state = transformer.state_dict()
    file = "transformer_fp8.safetensors"
    result[file] = ("transformer", transformer.original(write_small(FOLDER / file, state)))
    file = "transformer_scaled_fp8.safetensors"
    scaled = write_scaled(FOLDER / file, state, lambda name: name.startswith(KEPT), torch.bfloat16)
    result[file] = ("transformer", transformer.original(scaled))
    file = "t5_scaled_fp8.safetensors"
    scaled = write_scaled(FOLDER / file, t5, lambda name: "SelfAttention.r" in name or "shared" in name, torch.float16)
    result[file] = ("text_encoder_2", scaled)
    return result


def main() -> None:
    quiet()
    for case in (CASE, "real-heads", "schnell"):
        transformer, vae = flux_layout(manifest(case, "transformer")), ldm_layout(manifest(case, "vae"))
        check(case, transformer, vae)
        transformer.write(FOLDER / case / "transformer.json")
        vae.write(FOLDER / case / "vae.json")
    source = make_flux_pipelines.FOLDER / CASE
    pipeline = make_flux_pipelines.load(source)
    transformer = flux_layout(manifest(CASE, "transformer"))
    t5 = manifest(CASE, "text_encoder_2").state_dict()
    files = write_rounded(transformer, t5, pipeline.text_encoder_2.config)
    combinations = {Path(file).stem: [file] for file in files}
    combinations["both_Q8_0"] = ["transformer_Q8_0.gguf", "t5_llamacpp_Q8_0.gguf"]
    asked = json.loads((source / "requests.json").read_text())[0]
    expected = {}
    for name, members in combinations.items():
        pipeline = make_flux_pipelines.load(source)
        for component, state in (files[file] for file in members):
            getattr(pipeline, component).load_state_dict(state, strict=component == "transformer")
        expected[name] = make_flux_pipelines.generate(pipeline, asked)[0]["latents"]
    write_tensors(FOLDER / "expected.safetensors", expected)
    description = {"pipeline": CASE, "request": asked["name"], "replaced_by": combinations}
    write_json(FOLDER / "expected.json", description | {"all_in_one": ALL_IN_ONE})


if __name__ == "__main__":
    main()
