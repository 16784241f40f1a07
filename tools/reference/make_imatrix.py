"""Sums of squared inputs of every linear layer of tiny pipelines, from forward hooks on diffusers' modules.

Rows are counted as our program multiplies them. AuraFlow: all padding of a prompt is one row (its rows stay equal: zero,
without positions or mask), the text encoder sees no padding. FLUX.1: T5 and the transformer see all padding, CLIP no
token behind the first end token. Both: texts are projected once for all steps, and what depends on time alone is
evaluated once for all branches.
"""

import json

import torch

from common import FIXTURES, quiet, write_tensors
import make_flux_pipelines
from make_pipelines import FOLDER, generate, load

CASES = ("quantizable", "wide-negative", "tall-truncated")
# Models and requests of FLUX.1 pipelines.
FLUX_CASES = (("dev", "true-guidance"), ("schnell", "tall"), ("quantizable", "square"))
# Streams of a joint block that see the context.
CONTEXT = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "ff_context")


class Sums:
    """Sums of squares and numbers of rows by layer."""

    def __init__(self, pipeline) -> None:
        self.pipeline = pipeline
        self.sums: dict[str, torch.Tensor] = {}
        self.rows: dict[str, int] = {}
        # The attention mask of each text, in the order of encoding.
        self.masks: list[torch.Tensor] = []
        pipeline.text_encoder.register_forward_pre_hook(self.keep_mask, with_kwargs=True)
        for part in ("text_encoder", "transformer"):
            for name, layer in getattr(pipeline, part).named_modules():
                if isinstance(layer, torch.nn.Linear):
                    layer.register_forward_pre_hook(self.hook(part, name))

    def keep_mask(self, _, args, kwargs) -> None:
        self.masks.append(kwargs["attention_mask"][0].bool())

    def hook(self, part: str, name: str):
        def add(_, inputs) -> None:
            key = f"{part}.{name}.weight"
            for x in self.counted(part, name, inputs[0].detach().double()):
                self.sums[key] = self.sums.get(key, 0) + x.square().sum(dim=0)
                self.rows[key] = self.rows.get(key, 0) + len(x)

        return add

    def counted(self, part: str, name: str, x: torch.Tensor) -> list[torch.Tensor]:
        """The rows `[rows, columns]` that count, for each branch."""
        if part == "text_encoder":
            return [x[0][self.masks[-1]]]
        if x.ndim == 2:
            return [x[:1]]
        # The prompt is encoded before the negative one, the transformer takes them the other way.
        masks = self.masks[::-1]
        assert len(masks) == len(x)
        if name == "context_embedder":
            # Every step projects the same texts.
            if f"{part}.{name}.weight" in self.sums:
                return []
            return [rows[mask] for rows, mask in zip(x, masks)]
        is_context = any(part in name for part in CONTEXT)
        if not is_context and not name.startswith("single_transformer_blocks"):
            return list(x)
        return [self.without_copies(rows, mask) for rows, mask in zip(x, masks)]

    def without_copies(self, rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Registers, real tokens, one padding token and, where there are any, image tokens."""
        registers = self.pipeline.transformer.register_tokens.shape[1]
        text = rows[registers : registers + len(mask)]
        padding = text[~mask]
        if len(padding):
            torch.testing.assert_close(padding, padding[:1].expand_as(padding), rtol=1e-4, atol=1e-4)
        return torch.cat([rows[:registers], text[mask], padding[:1], rows[registers + len(mask) :]])


class FluxSums:
    """The same of a FLUX.1 pipeline, which runs each branch by itself."""

    def __init__(self, pipeline) -> None:
        self.pipeline = pipeline
        self.sums: dict[str, torch.Tensor] = {}
        self.rows: dict[str, int] = {}
        # Inputs of layers that see the same in every step or branch, by layer.
        self.seen: dict[str, list[torch.Tensor]] = {}
        self.end = 0
        pipeline.text_encoder.register_forward_pre_hook(self.keep_end)
        for part in ("text_encoder", "text_encoder_2", "transformer"):
            for name, layer in getattr(pipeline, part).named_modules():
                if isinstance(layer, torch.nn.Linear):
                    layer.register_forward_pre_hook(self.hook(part, name))

    def keep_end(self, _, args) -> None:
        self.end = int((args[0][0] == self.pipeline.tokenizer.eos_token_id).nonzero()[0, 0])

    def hook(self, part: str, name: str):
        key = f"{part}.{name}.weight"

        def add(_, inputs) -> None:
            x = inputs[0].detach().double()
            if name.startswith(("time_text_embed", "context_embedder")):
                if any(torch.equal(x, other) for other in self.seen.setdefault(key, [])):
                    return
                self.seen[key].append(x)
            x = x.flatten(end_dim=-2)
            if part == "text_encoder":
                x = x[: self.end + 1]
            self.sums[key] = self.sums.get(key, 0) + x.square().sum(dim=0)
            self.rows[key] = self.rows.get(key, 0) + len(x)

        return add


def write(name: str, sums: Sums | FluxSums) -> None:
    tensors = {}
    for layer, values in sums.sums.items():
        tensors[f"{layer}.in_sum2"] = values
        tensors[f"{layer}.counts"] = torch.tensor([sums.rows[layer]])
    write_tensors(FIXTURES / "imatrix" / f"{name}.safetensors", tensors)
    print(f"{name}: {len(sums.sums)} layers")


def main() -> None:
    quiet()
    for case in CASES:
        pipeline = load(FOLDER / case)
        sums = Sums(pipeline)
        generate(pipeline, json.loads((FOLDER / case / "request.json").read_text()))
        write(case, sums)
    for model, request in FLUX_CASES:
        folder = make_flux_pipelines.FOLDER / model
        pipeline = make_flux_pipelines.load(folder)
        sums = FluxSums(pipeline)
        rows = json.loads((folder / "requests.json").read_text())
        make_flux_pipelines.generate(pipeline, next(row for row in rows if row["name"] == request))
        write(f"flux-{model}-{request}", sums)


if __name__ == "__main__":
    main()
