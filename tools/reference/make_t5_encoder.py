"""T5 v1.1 encoder fixtures: token ids in, hidden states of all rows out. No mask: padding is attended to."""

import torch

import models
import seeded
from common import FIXTURES, write_json, write_tensors

CASES = {
    # name: (config, [(real tokens, pads on the right)])
    "default-buckets": (
        dict(vocab_size=300, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=2),
        [(140, 12), (1, 15), (16, 0)],
    ),
    "small-buckets": (
        dict(
            vocab_size=120,
            d_model=24,
            d_kv=10,
            d_ff=40,
            num_layers=2,
            num_heads=4,
            relative_attention_num_buckets=16,
            relative_attention_max_distance=40,
        ),
        [(40, 20)],
    ),
    "one-layer": (
        dict(vocab_size=90, d_model=40, d_kv=16, d_ff=24, num_layers=1, num_heads=3, layer_norm_epsilon=1e-5),
        [(9, 7), (1, 0)],
    ),
    # Rows of 256 values, which K-quants need.
    "heads-64": (
        dict(vocab_size=200, d_model=256, d_kv=64, d_ff=512, num_layers=2, num_heads=4),
        [(11, 13)],
    ),
}


def token_ids(salt: str, vocabulary: int, real: int, pads: int) -> torch.Tensor:
    """Seeded ids in 3..<vocabulary, the end of the text, padding."""
    body = ((seeded.tensor(f"{salt}/ids", [real - 1]) + 1) / 2 * (vocabulary - 3)).long() + 3
    return torch.cat([body, torch.tensor([1]), torch.zeros(pads, dtype=torch.int64)])


def main() -> None:
    for case, (options, runs) in CASES.items():
        folder = FIXTURES / "t5-encoder" / case
        salt = f"t5-encoder/{case}"
        model, manifest = models.t5_encoder(salt, **options)
        tensors = {}
        for index, (real, pads) in enumerate(runs):
            ids = token_ids(f"{salt}/{index}", options["vocab_size"], real, pads)
            with torch.no_grad():
                output = model(input_ids=ids[None], output_hidden_states=True)
            tensors |= {
                f"run{index}.input_ids": ids,
                f"run{index}.after_first_layer": output.hidden_states[1][0],
                f"run{index}.last_hidden_state": output.last_hidden_state[0],
            }
            print(case, index, "last", output.last_hidden_state.std().item())
        write_json(folder / "config.json", model.config.to_diff_dict() | {"architectures": ["T5EncoderModel"]})
        manifest.write(folder / "weights.json")
        write_tensors(folder / "golden.safetensors", tensors)


if __name__ == "__main__":
    main()
