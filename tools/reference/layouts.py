"""Seeded weights in another arrangement: a file's tensors as runs of the values of a `seeded.Manifest`.

Stored as `{"salt", "tensors": [{"name", "shape", "parts": [{"name", "first", "count", "scale", "offset"}]}]}`: a
tensor is its parts in a row, a part the values `first..<first + count` of the tensor that `weights.json` names.
"""

import json
import math
import re
from pathlib import Path

import torch

import seeded
from make_checkpoints import ldm_vae
from seeded import Manifest

State = dict[str, torch.Tensor]

FLUX_GLOBALS = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
# Black Forest Labs' layers with diffusers' layers whose rows they have, in order.
DOUBLE_LAYERS = {
    "img_mod.lin": ["norm1.linear"],
    "txt_mod.lin": ["norm1_context.linear"],
    "img_attn.qkv": ["attn.to_q", "attn.to_k", "attn.to_v"],
    "txt_attn.qkv": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
    "img_attn.proj": ["attn.to_out.0"],
    "txt_attn.proj": ["attn.to_add_out"],
    "img_mlp.0": ["ff.net.0.proj"],
    "img_mlp.2": ["ff.net.2"],
    "txt_mlp.0": ["ff_context.net.0.proj"],
    "txt_mlp.2": ["ff_context.net.2"],
}
SINGLE_LAYERS = {
    "modulation.lin": ["norm.linear"],
    "linear1": ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"],
    "linear2": ["proj_out"],
}
DOUBLE_NORMS = {
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
}
SINGLE_NORMS = {"norm.query_norm": "attn.norm_q", "norm.key_norm": "attn.norm_k"}


class Layout:
    """A file's tensors and where their values come from."""

    def __init__(self, manifest: Manifest):
        self.salt = manifest.salt
        self.sources = {entry["name"]: entry for entry in manifest.entries}
        self.entries: list[dict] = []

    def part(self, name: str, half: int | None = None) -> dict:
        """All values of a tensor, or those of the first or second half of its rows."""
        entry = self.sources[name]
        count = math.prod(entry["shape"])
        first, count = (0, count) if half is None else (half * count // 2, count // 2)
        return {"name": name, "first": first, "count": count, "scale": entry["scale"], "offset": entry["offset"]}

    def add(self, name: str, parts: list[dict], shape: list[int] | None = None) -> None:
        """A tensor; without `shape` it has the rows of all parts and the columns of the first part's tensor."""
        columns = self.sources[parts[0]["name"]]["shape"][1:]
        rows = sum(part["count"] for part in parts) // math.prod(columns)
        self.entries.append({"name": name, "shape": shape or [rows, *columns], "parts": parts})

    def state_dict(self) -> State:
        """The file's tensors."""

        def values(part: dict) -> torch.Tensor:
            count = part["first"] + part["count"]
            whole = seeded.tensor(f"{self.salt}/{part['name']}", [count], part["scale"], part["offset"])
            return whole[part["first"] :]

        return {
            entry["name"]: torch.cat([values(part) for part in entry["parts"]]).reshape(entry["shape"])
            for entry in self.entries
        }

    def original(self, state: State) -> State:
        """The tensors of the manifest out of those of a file in this layout."""
        result = {name: torch.zeros(math.prod(entry["shape"])) for name, entry in self.sources.items()}
        for entry in self.entries:
            flat = state[entry["name"]].flatten().split([part["count"] for part in entry["parts"]])
            for part, values in zip(entry["parts"], flat, strict=True):
                result[part["name"]][part["first"] : part["first"] + part["count"]] = values
        return {name: value.reshape(self.sources[name]["shape"]) for name, value in result.items()}

    def write(self, path: Path) -> None:
        """One tensor per line."""
        lines = ",\n".join("    " + json.dumps(entry) for entry in self.entries)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{\n  "salt": {json.dumps(self.salt)},\n  "tensors": [\n{lines}\n  ]\n}}\n')


def flux_layout(manifest: Manifest) -> Layout:
    """A FLUX transformer under Black Forest Labs' names: fused projections, shift before scale at the end."""
    layout = Layout(manifest)

    def add(target: str, names: list[str]) -> None:
        for kind in ("weight", "bias"):
            layout.add(f"{target}.{kind}", [layout.part(f"{name}.{kind}") for name in names])

    for target, name in FLUX_GLOBALS.items():
        if f"{name}.weight" in layout.sources:
            add(target, [name])
    for kind in ("weight", "bias"):
        name = f"norm_out.linear.{kind}"
        layout.add(f"final_layer.adaLN_modulation.1.{kind}", [layout.part(name, half) for half in (1, 0)])
    for target, stem, layers, norms in (
        ("double_blocks", "transformer_blocks", DOUBLE_LAYERS, DOUBLE_NORMS),
        ("single_blocks", "single_transformer_blocks", SINGLE_LAYERS, SINGLE_NORMS),
    ):
        count = len({name.split(".")[1] for name in layout.sources if name.startswith(f"{stem}.")})
        for index in range(count):
            for layer, names in layers.items():
                add(f"{target}.{index}.{layer}", [f"{stem}.{index}.{name}" for name in names])
            for norm, name in norms.items():
                layout.add(f"{target}.{index}.{norm}.scale", [layout.part(f"{stem}.{index}.{name}.weight")])
    return layout


def ldm_layout(manifest: Manifest) -> Layout:
    """A VAE under LDM names, with its attention projections as 1x1 convolutions."""
    layout = Layout(manifest)
    levels = len({name.split(".")[2] for name in layout.sources if re.match(r"decoder\.up_blocks\.", name)})
    for name, (target, value) in zip(layout.sources, ldm_vae(manifest.state_dict(), levels).items(), strict=True):
        layout.add(target, [layout.part(name)], list(value.shape))
    return layout
