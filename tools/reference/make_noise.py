"""Numbers of torch.randn on the CPU, over shapes and seeds and for chained calls."""

import torch

from common import FIXTURES, write_json_rows, write_tensors

SEEDS = (0, 1, 42, 666, 2**32 + 5, 2**63 - 1)
SHAPES = [[n] for n in (1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33, 100)] + [[1, 4, 16, 16], [1, 4, 10, 22], [2, 4, 12, 8]]
CHAINS = ([[3], [5], [64]], [[1], [16], [1], [2], [33]], [[17], [4], [1, 4, 6, 6], [15]], [[700], [3], [700]])


def main() -> None:
    rows, tensors = [], {}
    for seed in SEEDS:
        for calls in [[shape] for shape in SHAPES] + list(CHAINS):
            generator = torch.Generator("cpu").manual_seed(seed)
            names = []
            for shape in calls:
                name = f"{len(tensors):04d}"
                tensors[name] = torch.randn(shape, generator=generator)
                names.append(name)
            rows.append({"seed": str(seed), "shapes": calls, "tensors": names})
    write_json_rows(FIXTURES / "noise" / "noise.json", rows)
    write_tensors(FIXTURES / "noise" / "noise.safetensors", tensors)


if __name__ == "__main__":
    main()
