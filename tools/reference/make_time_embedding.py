"""Frequencies of the sinusoidal time embedding, as float32 bit patterns."""

import math

import torch
from common import FIXTURES, write_json


def main() -> None:
    exponents = -math.log(10000) * torch.arange(0, 128, dtype=torch.float32) / 128
    write_json(FIXTURES / "time-embedding" / "frequencies.json", torch.exp(exponents).view(torch.int32).tolist())


if __name__ == "__main__":
    main()
