"""UMT5 encoder fixtures: token ids and masks in, hidden states of the real rows out."""

import torch

import models
import seeded
from common import FIXTURES, write_json, write_tensors

CASES = {
    # name: (config, real tokens, pads on the left, pads on the right)
    "default-buckets": (
        dict(vocab_size=300, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=2),
        140,
        0,
        4,
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
        60,
        0,
        0,
    ),
    "left-padded": (
        dict(vocab_size=90, d_model=40, d_kv=16, d_ff=24, num_layers=1, num_heads=3, layer_norm_epsilon=1e-5),
        9,
        7,
        0,
    ),
    "one-token": (dict(vocab_size=50, d_model=16, d_kv=4, d_ff=16, num_layers=2, num_heads=4), 1, 0, 5),
}


def token_ids(case: str, vocab: int, real: int) -> torch.Tensor:
    """Seeded ids in 3..<vocab, then the end of sequence."""
    body = ((seeded.tensor(f"text-encoder/{case}/ids", [real - 1]) + 1) / 2 * (vocab - 3)).long() + 3
    return torch.cat([body, torch.tensor([2])])


def main() -> None:
    for case, (options, real, left, right) in CASES.items():
        folder = FIXTURES / "text-encoder" / case
        model, manifest = models.text_encoder(f"text-encoder/{case}", **options)
        ids = torch.nn.functional.pad(token_ids(case, options["vocab_size"], real), (left, right))
        mask = torch.nn.functional.pad(torch.ones(real, dtype=torch.int64), (left, right))
        with torch.no_grad():
            output = model(input_ids=ids[None], attention_mask=mask[None], output_hidden_states=True)
        rows = slice(left, left + real)
        write_json(folder / "config.json", model.config.to_diff_dict())
        manifest.write(folder / "weights.json")
        write_tensors(
            folder / "golden.safetensors",
            {
                "input_ids": ids,
                "attention_mask": mask,
                "after_first_layer": output.hidden_states[1][0, rows],
                "last_hidden_state": output.last_hidden_state[0, rows],
            },
        )
        print(case, "first", output.hidden_states[1].std().item(), "last", output.last_hidden_state.std().item())


if __name__ == "__main__":
    main()
