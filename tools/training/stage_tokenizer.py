"""Stage `tokenizer`: trains SentencePiece BPE on captions and saves it as AuraFlow pipelines hold it."""

import argparse
import io
import json
import random

import sentencepiece

from loop import replace_atomically
from presets import TransformerSizes
from workspace import Collection, Workspace, write_json

CAPTIONS_PER_ITEM = 6
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"-()"
_CONFIGURATION = {
    "tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "add_eos_token": True, "bos_token": "<s>",
    "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>", "legacy": True,
}


def run(workspace: Workspace, sizes: TransformerSizes, arguments: argparse.Namespace) -> None:
    """Writes tokenizer/: tokenizer.model, tokenizer_config.json, and lengths.json, how many tokens the model reads."""
    collection = Collection(workspace)
    captions = _captions(collection, arguments.seed)
    # The letters by themselves let other words split into known pieces.
    corpus = captions + [" ".join(_LETTERS)] * 50
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, model_type="bpe", vocab_size=sizes.vocabulary,
        byte_fallback=True, add_dummy_prefix=True, remove_extra_whitespaces=False,
        normalization_rule_name="identity", unk_id=0, bos_id=1, eos_id=2, pad_id=-1, character_coverage=1.0,
        num_threads=1, minloglevel=1, hard_vocab_limit=False,  # Few subjects have fewer pieces.
    )
    workspace.tokenizer.mkdir(parents=True, exist_ok=True)
    replace_atomically(workspace.tokenizer / "tokenizer.model", lambda part: part.write_bytes(model.getvalue()))
    (workspace.tokenizer / "tokenizer_config.json").write_text(json.dumps(_CONFIGURATION, indent=2) + "\n")
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    longest = 1 + max(len(processor.encode(text)) for text in captions)
    # Not every caption is among these, hence two more.
    tokens = max(sizes.tokens, -(-(longest + 2) // 8) * 8)
    write_json(workspace.tokenizer / "lengths.json", {"tokens": tokens, "longest_caption": longest})
    print(f"{processor.get_piece_size()} pieces; captions take up to {longest} tokens, the model reads {tokens}")


def _captions(collection: Collection, seed: int) -> list[str]:
    """Some captions of everything."""
    generator = random.Random(f"{seed}/tokenizer")
    items = collection.singles + collection.scenes
    return [collection.caption(item, generator) for item in items for _ in range(CAPTIONS_PER_ITEM)]


class Encoder:
    """Captions to token ids, as transformers' LlamaTokenizer gives them."""

    def __init__(self, workspace: Workspace):
        path = workspace.needs(workspace.tokenizer / "tokenizer.model", "tokenizer")
        lengths = workspace.needs(workspace.tokenizer / "lengths.json", "tokenizer")
        self.processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.tokens: int = json.loads(lengths.read_text())["tokens"]

    def length(self, text: str) -> int:
        """How many tokens the text takes, its end included."""
        return len(self.processor.encode(text)) + 1

    def __call__(self, texts: list[str]) -> tuple[list[list[int]], list[list[int]]]:
        """Ids and masks [n, tokens]: the text's pieces and the end (2), padded with 0 on the left."""
        rows = [(ids + [self.processor.eos_id()])[: self.tokens] for ids in self.processor.encode(texts)]
        padding = [self.tokens - len(row) for row in rows]
        ids = [[0] * count + row for count, row in zip(padding, rows)]
        return ids, [[0] * count + [1] * len(row) for count, row in zip(padding, rows)]
