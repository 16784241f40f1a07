"""Adapters of tiny pipelines and what diffusers draws with them; single layers with adapters of every kind by PEFT.

An adapter is stored as `weights.json` is (see `seeded.py`), with the metadata of its file beside the tensors.
"""

import json
import tempfile
from pathlib import Path

import peft
import torch
from safetensors.torch import save_file

import make_flux_pipelines
import make_pipelines
import seeded
from common import FIXTURES, quiet, write_json, write_tensors
from seeded import Manifest

FOLDER = FIXTURES / "adapters"
# The pipelines that adapters are tried on: fixture folders, and the request of the one that has several.
PIPELINES = {"auraflow": ("pipelines", "square", None), "flux": ("flux-pipelines", "dev", "square")}
# Runs: which adapters, and how strongly.
RUNS = {
    "auraflow": {
        "all": {"all": 1.0},
        "weak": {"all": 0.35},
        "negative": {"all": -0.5},
        "none": {"all": 0.0},
        "root": {"root": 1.0},
        "two": {"all": 0.6, "root": 1.3},
    },
    "flux": {
        "all": {"all": 1.0},
        "weak": {"all": 0.35},
        "negative": {"all": -0.5},
        "none": {"all": 0.0},
        "kohya": {"kohya": 1.0},
        "xlabs": {"xlabs": 0.8},
        "two": {"all": 0.6, "kohya": 1.3},
    },
}
STRENGTH = 0.2


def pair(manifest: list[dict], down: str, up: str, rank: int, rows: int, columns: int) -> None:
    """A module's two matrices, whose product is about a fifth of a layer's weights."""
    scale = STRENGTH * (3 / columns) ** 0.5
    manifest.append(dict(name=down, shape=[rank, columns], scale=seeded.float32(scale * 3**0.5), offset=0.0))
    manifest.append(dict(name=up, shape=[rows, rank], scale=seeded.float32((3 / rank) ** 0.5), offset=0.0))


def number(manifest: list[dict], name: str, value: float) -> None:
    """A tensor of one number."""
    manifest.append(dict(name=name, shape=[], scale=0.0, offset=seeded.float32(value)))


def linear_layers(model: torch.nn.Module) -> dict[str, torch.nn.Linear]:
    """All linear layers by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}


def peft_adapter(model: torch.nn.Module, rank: int, keep, settings: dict) -> tuple[list[dict], dict]:
    """An adapter with diffusers' names, whose scale is in the file's metadata."""
    manifest: list[dict] = []
    for name, layer in linear_layers(model).items():
        if keep(name):
            pair(
                manifest, f"transformer.{name}.lora_A.weight", f"transformer.{name}.lora_B.weight", rank,
                layer.out_features, layer.in_features,
            )  # fmt: skip
    fields = {"r": rank, "lora_alpha": rank, "use_rslora": False, "alpha_pattern": {}, "rank_pattern": {}}
    modules = [name for name in linear_layers(model) if keep(name)]
    fields |= settings | {"target_modules": modules}
    text = json.dumps({f"transformer.{key}": value for key, value in fields.items()})
    return manifest, {"format": "pt", "lora_adapter_metadata": text}


def kohya_adapter(pipeline, rank: int) -> tuple[list[dict], dict]:
    """Names with underscores, fused matrices, alphas, and CLIP's layers: as kohya's scripts write them."""
    manifest: list[dict] = []

    def module(name: str, rows: int, columns: int, alpha: float) -> None:
        pair(manifest, f"{name}.lora_down.weight", f"{name}.lora_up.weight", rank, rows, columns)
        number(manifest, f"{name}.alpha", alpha)

    config = pipeline.transformer.config
    width = config.attention_head_dim * config.num_attention_heads
    for layer in range(config.num_layers):
        for stream in ("img", "txt"):
            start = f"lora_unet_double_blocks_{layer}_{stream}"
            module(f"{start}_attn_qkv", 3 * width, width, 1.5)
            module(f"{start}_attn_proj", width, width, 3.0)
            module(f"{start}_mlp_0", 4 * width, width, 3.0)
            module(f"{start}_mlp_2", width, 4 * width, 1.0)
            module(f"{start}_mod_lin", 6 * width, width, 2.0)
    for layer in range(config.num_single_layers):
        start = f"lora_unet_single_blocks_{layer}"
        # diffusers converts linear1 of the published widths only.
        module(f"{start}_linear2", width, 5 * width, 3.0)
        module(f"{start}_modulation_lin", 3 * width, width, 1.0)
    for name, layer in linear_layers(pipeline.text_encoder).items():
        flat = ("text_model." + name.removeprefix("text_model.")).replace(".", "_")
        module(f"lora_te1_{flat}", layer.out_features, layer.in_features, 1.5)
    return manifest, {}


def xlabs_adapter(pipeline, rank: int) -> tuple[list[dict], dict]:
    """XLabs' names: attention of the double layers."""
    manifest: list[dict] = []
    config = pipeline.transformer.config
    width = config.attention_head_dim * config.num_attention_heads
    for layer in range(config.num_layers):
        for stream in (1, 2):
            start = f"double_blocks.{layer}.processor"
            for kind, rows in (("qkv", 3 * width), ("proj", width)):
                name = f"{start}.{kind}_lora{stream}"
                pair(manifest, f"{name}.down.weight", f"{name}.up.weight", rank, rows, width)
    return manifest, {}


def adapters(family: str, pipeline) -> dict[str, tuple[list[dict], dict]]:
    """All adapters of a pipeline."""
    model = pipeline.transformer

    def is_attention(name: str) -> bool:
        return ".attn." in name

    result = {"all": peft_adapter(model, 4, lambda name: True, {"lora_alpha": 6, "alpha_pattern": {"attn.to_q": 9, "norm_out.linear": 2}})}
    if family == "auraflow":
        result["root"] = peft_adapter(model, 3, is_attention, {"lora_alpha": 2, "use_rslora": True})
    else:
        result["kohya"] = kohya_adapter(pipeline, 3)
        result["xlabs"] = xlabs_adapter(pipeline, 2)
    return result


def write_adapters(family: str, pipeline) -> None:
    """Each adapter's tensors and metadata."""
    for name, (entries, metadata) in adapters(family, pipeline).items():
        path = FOLDER / family / f"{name}.json"
        Manifest(f"adapters/{family}/{name}", entries).write(path)
        content = json.loads(path.read_text())
        if metadata:
            # In front, so that tensors stay one per line.
            text = path.read_text().replace("{\n", '{\n  "metadata": ' + json.dumps(metadata) + ",\n", 1)
            path.write_text(text)
        assert json.loads(path.read_text())["tensors"] == content["tensors"]


def load_adapter(pipeline, family: str, name: str, folder: Path) -> None:
    """Loads a file as people have it."""
    path = FOLDER / family / f"{name}.json"
    state = Manifest.read(path).state_dict()
    metadata = json.loads(path.read_text()).get("metadata")
    file = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, file, metadata=metadata)
    pipeline.load_lora_weights(file, adapter_name=name)


def draw(family: str, strengths: dict[str, float]) -> torch.Tensor:
    """Final latents of a pipeline with some adapters."""
    group, case, request = PIPELINES[family]
    module = make_pipelines if group == "pipelines" else make_flux_pipelines
    folder = FIXTURES / group / case
    pipeline = module.load(folder)
    with tempfile.TemporaryDirectory() as place:
        for name in strengths:
            load_adapter(pipeline, family, name, Path(place))
    pipeline.set_adapters(list(strengths), list(strengths.values()))
    asked = json.loads((folder / ("requests.json" if request else "request.json")).read_text())
    if request:
        asked = next(row for row in asked if row["name"] == request)
    tensors, _ = module.generate(pipeline, asked)
    return tensors["latents_unpacked" if request else "latents"]


def make_layers() -> None:
    """Weights of a linear layer with an adapter of each kind, at full strength, in PEFT's files."""
    rows, columns = 12, 20
    configurations = {
        "lora": peft.LoraConfig(r=3, lora_alpha=5, target_modules=["layer"], lora_bias=True),
        "dora": peft.LoraConfig(r=3, lora_alpha=5, target_modules=["layer"], use_dora=True),
        "loha": peft.LoHaConfig(r=2, alpha=3, target_modules=["layer"]),
        "lokr": peft.LoKrConfig(r=2, alpha=3, target_modules=["layer"], decompose_factor=4),
        "ia3-rows": peft.IA3Config(target_modules=["layer"], feedforward_modules=[]),
        "ia3-columns": peft.IA3Config(target_modules=["layer"], feedforward_modules=["layer"]),
    }
    tensors = {}
    weight = seeded.tensor("adapters/layers/weight", [rows, columns], 0.4)
    bias = seeded.tensor("adapters/layers/bias", [rows], 0.3)
    x = seeded.tensor("adapters/layers/x", [5, columns])
    tensors |= {"weight": weight, "bias": bias, "x": x}
    for kind, configuration in configurations.items():
        model = torch.nn.Sequential()
        model.layer = torch.nn.Linear(columns, rows)
        with torch.no_grad():
            model.layer.weight.copy_(weight)
            model.layer.bias.copy_(bias)
        adapted = peft.get_peft_model(model, configuration)
        state = peft.get_peft_model_state_dict(adapted)
        filled = {}
        for name, value in state.items():
            # Around what is there where it is a length or a factor, else anything.
            offset = value if kind.startswith("ia3") or "magnitude" in name else 0
            filled[name] = offset + seeded.tensor(f"adapters/layers/{kind}/{name}", value.shape, 0.5)
        peft.set_peft_model_state_dict(adapted, filled)
        with torch.no_grad():
            tensors[f"{kind}/y"] = adapted(x)
        tensors |= {f"{kind}/{name}": value for name, value in filled.items()}
    write_tensors(FOLDER / "layers.safetensors", tensors)
    write_json(FOLDER / "layers.json", {kind: settings(c) for kind, c in configurations.items()})


def settings(configuration) -> dict:
    """What a program needs of a configuration to scale what it adds."""
    return {name: getattr(configuration, name) for name in ("r", "lora_alpha", "alpha") if hasattr(configuration, name)}


def main() -> None:
    quiet()
    torch.manual_seed(0)
    make_layers()
    for family, (group, case, _) in PIPELINES.items():
        module = make_pipelines if group == "pipelines" else make_flux_pipelines
        write_adapters(family, module.load(FIXTURES / group / case))
        for run, strengths in RUNS[family].items():
            write_tensors(FOLDER / family / f"{run}.safetensors", {"latents": draw(family, strengths)})
    write_json(FOLDER / "runs.json", RUNS)


if __name__ == "__main__":
    main()
