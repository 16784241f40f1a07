"""Weights computed from tensor names, so fixtures can describe a model without storing its numbers.

A value depends on a name and an index only (FNV-1a 64 of the name, then the splitmix64 finalizer), and every
step is exact in float32, so any implementation that follows `values` gets the same bits.
"""

import json
from pathlib import Path

import numpy as np
import torch

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def fnv1a64(text: str) -> int:
    """FNV-1a 64-bit hash of the UTF-8 bytes of `text`."""
    state = 0xCBF29CE484222325
    for byte in text.encode("utf-8"):
        state = ((state ^ byte) * 0x100000001B3) & _MASK
    return state


def values(name: str, count: int) -> np.ndarray:
    """`count` float32 values in [-1, 1), all multiples of 2^-23."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN_GAMMA)
    z = np.uint64(fnv1a64(name)) + steps
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return (unit - np.float32(0.5)) * np.float32(2)


def tensor(name: str, shape, scale: float = 1.0, offset: float = 0.0) -> torch.Tensor:
    """offset + scale * values(name), multiplied then added, each rounded to float32."""
    count = int(np.prod(shape))
    scaled = np.float32(scale) * values(name, count)
    return torch.from_numpy((np.float32(offset) + scaled).reshape(tuple(shape)))


def float32(value: float) -> float:
    """The nearest float32, as a Python float that JSON can carry without loss."""
    return float(np.float32(value))


class Manifest:
    """The list of a component's tensors with the scale and offset of each; stored as `weights.json`."""

    def __init__(self, salt: str, entries: list[dict]):
        self.salt = salt
        self.entries = entries

    @classmethod
    def of(cls, salt: str, state: dict[str, torch.Tensor], rule) -> "Manifest":
        """Describes every tensor of `state`; `rule(name, shape)` returns its (scale, offset)."""
        entries = []
        for name, value in state.items():
            scale, offset = rule(name, tuple(value.shape))
            entries.append(
                {"name": name, "shape": list(value.shape), "scale": float32(scale), "offset": float32(offset)}
            )
        return cls(salt, entries)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The tensors this manifest describes."""
        return {
            entry["name"]: tensor(f"{self.salt}/{entry['name']}", entry["shape"], entry["scale"], entry["offset"])
            for entry in self.entries
        }

    def write(self, path: Path) -> None:
        """One tensor per line, so that changes stay readable."""
        lines = ",\n".join("    " + json.dumps(entry) for entry in self.entries)
        text = f'{{\n  "salt": {json.dumps(self.salt)},\n  "tensors": [\n{lines}\n  ]\n}}\n'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Reads what `write` wrote."""
        content = json.loads(path.read_text())
        return cls(content["salt"], content["tensors"])
