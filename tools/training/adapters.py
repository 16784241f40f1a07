"""Low-rank adapters (LoRA) of linear layers: to train them, and to write them as diffusers and PEFT do."""

import json
import pathlib
import re

import torch
from safetensors.torch import save_file

from loop import replace_atomically


class LowRankLinear(torch.nn.Module):
    """A frozen linear layer plus the product of two thin matrices, which begins as zero."""

    def __init__(self, layer: torch.nn.Linear, rank: int):
        super().__init__()
        self.layer = layer
        self.down = torch.nn.Parameter(torch.randn(rank, layer.in_features) * layer.in_features**-0.5)
        self.up = torch.nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.layer(values) + values @ self.down.mT @ self.up.mT


class Adapter(torch.nn.Module):
    """Adapters for all linear layers of a model whose full name matches `pattern`, put into their places.

    Its parameters are the adapters' alone; all others of the model are frozen.
    """

    def __init__(self, model: torch.nn.Module, pattern: str, rank: int):
        super().__init__()
        self.rank = rank
        self.names = [
            name for name, layer in model.named_modules()
            if isinstance(layer, torch.nn.Linear) and re.fullmatch(pattern, name)
        ]
        if not self.names:
            raise SystemExit(f"no linear layer of the model is called {pattern}")
        model.requires_grad_(False)
        self.parts = torch.nn.ParameterList()
        for name in self.names:
            layer = LowRankLinear(model.get_submodule(name), rank)
            model.set_submodule(name, layer)
            self.parts += [layer.down, layer.up]

    def save(self, path: pathlib.Path, part: str, notes: dict[str, str]) -> None:
        """Writes F16 tensors under the names that diffusers gives to an adapter of the pipeline's `part`.

        The scale (alpha over rank) is 1 and is stated in PEFT's settings among the file's metadata, after `notes`.
        """
        tensors = {
            f"{part}.{name}.lora_{side}.weight": values.detach().half().contiguous()
            for place, name in enumerate(self.names)
            for side, values in zip("AB", self.parts[2 * place : 2 * place + 2])
        }
        settings = {
            "r": self.rank, "lora_alpha": self.rank, "use_rslora": False, "use_dora": False, "lora_bias": False,
            "alpha_pattern": {}, "rank_pattern": {}, "target_modules": self.names,
        }
        text = json.dumps({f"{part}.{key}": value for key, value in settings.items()})
        metadata = {"format": "pt"} | notes | {"lora_adapter_metadata": text}
        replace_atomically(path, lambda target: save_file(tensors, target, metadata))
