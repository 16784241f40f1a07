"""CLIP text encoder fixtures: rows of token ids in, hidden states and the pooled vector out."""

import torch

import models
import seeded
from common import FIXTURES, write_json, write_tensors

# As the published configuration: its ids of special tokens are not those of the vocabulary, whose last two are begin
# and end. With `eos_token_id` 2 the row of the largest id is pooled, which is the first end.
PUBLISHED = dict(bos_token_id=0, eos_token_id=2, pad_token_id=1)

CASES = {
    "tiny": dict(
        vocab_size=1000,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        projection_dim=32,
        hidden_act="quick_gelu",
        **PUBLISHED,
    ),
    "odd-heads": dict(
        vocab_size=530,
        hidden_size=60,
        intermediate_size=100,
        num_hidden_layers=2,
        num_attention_heads=5,
        projection_dim=60,
        hidden_act="quick_gelu",
        bos_token_id=528,
        eos_token_id=529,
        pad_token_id=529,
    ),
    # Heads of 64 and rows of 256 values, as quantized types need them.
    "heads-64": dict(
        vocab_size=600,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=256,
        hidden_act="quick_gelu",
        **PUBLISHED,
    ),
    # As CLIP-G: the exact GELU.
    "exact-gelu": dict(
        vocab_size=540,
        hidden_size=24,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=3,
        projection_dim=24,
        hidden_act="gelu",
        **PUBLISHED,
    ),
}
LENGTH = 77


def body(salt: str, vocabulary: int, count: int) -> list[int]:
    """Seeded ids of ordinary tokens."""
    return ((seeded.tensor(f"{salt}/ids", [count]) + 1) / 2 * (vocabulary - 2)).long().tolist()


def rows(salt: str, vocabulary: int) -> list[list[int]]:
    """A short prompt, a full row, the empty prompt, other padding, an end inside the prompt, rows without padding."""
    begin, end = vocabulary - 2, vocabulary - 1

    def padded(ids: list[int], pad: int = end) -> list[int]:
        return ids + [pad] * (LENGTH - len(ids))

    return [
        padded([begin, *body(f"{salt}/short", vocabulary, 9), end]),
        [begin, *body(f"{salt}/full", vocabulary, LENGTH - 2), end],
        padded([begin, end]),
        padded([begin, *body(f"{salt}/zeros", vocabulary, 20), end], pad=0),
        padded([begin, *body(f"{salt}/first", vocabulary, 4), end, *body(f"{salt}/second", vocabulary, 5), end]),
        [begin, *body(f"{salt}/unpadded", vocabulary, 6), end],
    ]


def main() -> None:
    for case, options in CASES.items():
        folder = FIXTURES / "clip-text" / case
        salt = f"clip-text/{case}"
        model, manifest = models.clip_text(salt, max_position_embeddings=LENGTH, **options)
        wanted = rows(salt, options["vocab_size"])
        if case != "tiny":
            wanted = wanted[-2:]
        tensors = {}
        for index, ids in enumerate(wanted):
            with torch.no_grad():
                output = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
            tensors |= {
                f"run{index}.input_ids": torch.tensor(ids),
                f"run{index}.pooled": output.pooler_output[0],
                f"run{index}.last_hidden_state": output.last_hidden_state[0],
            }
            if case == "tiny" and index == 0:
                # Not normalized: what comes out of the first layer and what goes into the last.
                tensors["run0.after_first_layer"] = output.hidden_states[1][0]
                tensors["run0.penultimate"] = output.hidden_states[-2][0]
            print(case, index, "pooled", output.pooler_output.std().item())
        write_json(folder / "config.json", model.config.to_diff_dict() | {"architectures": ["CLIPTextModel"]})
        manifest.write(folder / "weights.json")
        write_tensors(folder / "golden.safetensors", tensors)


if __name__ == "__main__":
    main()
