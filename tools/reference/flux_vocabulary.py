"""Tiny tokenizers of FLUX.1's two kinds: CLIP's byte-level BPE and T5's SentencePiece unigram, of our own text."""

import io
import os
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import sentencepiece as spm
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers
from tokenizers import models as token_models
from tokenizers import pre_tokenizers, processors
from transformers import CLIPTokenizer

import vocabulary
from common import write_json

CLIP_BEGIN, CLIP_END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
MERGES = 400
# Names that T5 tokenizers have beyond the SentencePiece model, the first one last.
EXTRA_IDS = 100

CORPUS = vocabulary.CORPUS + """
it's a painter's studio, they're painting and we've seen it, I'm sure you'll like what he'd draw
highly detailed, sharp focus, soft light, oil on canvas, watercolor, pencil drawing, pixel art
"""


def byte_symbols() -> list[str]:
    """The printable character of each byte in byte-level BPE, in the order of the published vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]


def clip_base() -> list[str]:
    """The pieces that no merge makes."""
    symbols = byte_symbols()
    return symbols + [symbol + WORD_END for symbol in symbols]


def clip_vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Ids follow from the merges: bytes, bytes at the end of a word, merges, begin, end."""
    pieces = clip_base() + ["".join(pair) for pair in merges] + [CLIP_BEGIN, CLIP_END]
    return {piece: index for index, piece in enumerate(pieces)}


def clip_words() -> Counter:
    """The corpus' words as tuples of symbols, as CLIP's rules split it."""
    backend = CLIPTokenizer(vocab=clip_vocabulary([]), merges=[]).backend_tokenizer
    words = Counter()
    for line in CORPUS.strip().splitlines():
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(line)):
            words[(*word[:-1], word[-1] + WORD_END)] += 1
    return words


def merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """A word with every occurrence of a pair joined, from the left."""
    result, index = [], 0
    while index < len(word):
        joined = word[index : index + 2] == pair
        result.append("".join(pair) if joined else word[index])
        index += 2 if joined else 1
    return tuple(result)


def clip_merges() -> list[tuple[str, str]]:
    """Byte-pair encoding of the corpus; no two merges make the same piece, so ids follow from their order."""
    words, pieces, result = clip_words(), set(clip_base()), []
    while len(result) < MERGES:
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = max((count, pair) for pair, count in pairs.items() if "".join(pair) not in pieces)[1]
        result.append(best)
        pieces.add("".join(best))
        words = Counter({merged(word, best): count for word, count in words.items()})
    return result


def write_clip(folder: Path) -> None:
    """`vocab.json`, `merges.txt` and the two configurations, as CLIP tokenizers are published."""
    merges = clip_merges()
    write_json(folder / "vocab.json", clip_vocabulary(merges))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": CLIP_BEGIN, "eos_token": CLIP_END, "unk_token": CLIP_END, "pad_token": CLIP_END}
    write_json(folder / "special_tokens_map.json", special)
    config = {"add_prefix_space": False, "do_lower_case": True, "errors": "replace", "model_max_length": 77}
    write_json(folder / "tokenizer_config.json", config | special | {"tokenizer_class": "CLIPTokenizer"})


def normalization_rules() -> str:
    """A small part of NFKC with T5's treatment of control characters, so that the character map stays small."""
    rules = {}
    ranges = [(0xA0, 0x100), (0x2000, 0x2010), (0x2100, 0x2140), (0xFB00, 0xFB07), (0xFF01, 0xFF5F), (0x3000, 0x3001)]
    for first, last in ranges:
        for code in range(first, last):
            normal = unicodedata.normalize("NFKC", chr(code))
            if normal != chr(code):
                rules[chr(code)] = normal
    for base in "aeioucnAEIOUCN":
        for mark in "\u0300\u0301\u0302\u0303\u0308\u0327":
            if len(composed := unicodedata.normalize("NFKC", base + mark)) == 1:
                rules[base + mark] = composed
    rules |= {control: " " for control in "\t\n\r"} | {"\u200b": " ", "\u00ad": ""}

    def codes(text: str) -> str:
        return " ".join(f"{ord(character):X}" for character in text)

    return "".join(f"{codes(source)}\t{codes(target)}\n" for source, target in sorted(rules.items()))


def t5_model(vocab_size: int = 192) -> bytes:
    """The serialized `spiece.model`: unigram, pad 0, end 1, unknown 2, no begin."""
    model = io.BytesIO()
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        # The model keeps the path of the rules, so the path is a plain name.
        os.chdir(name)
        try:
            Path("rules.tsv").write_text(normalization_rules())
            spm.SentencePieceTrainer.train(
                sentence_iterator=iter(CORPUS.strip().splitlines()),
                model_writer=model,
                model_type="unigram",
                vocab_size=vocab_size,
                normalization_rule_tsv="rules.tsv",
                add_dummy_prefix=True,
                remove_extra_whitespaces=True,
                character_coverage=0.985,
                pad_id=0,
                eos_id=1,
                unk_id=2,
                bos_id=-1,
                pad_piece="<pad>",
                num_threads=1,
                minloglevel=2,
            )
        finally:
            os.chdir(home)
    return model.getvalue()


def field(message: bytes, wanted: int) -> bytes:
    """The first length-delimited field of a protocol buffer message with a number."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        key = varint()
        if key & 7 == 0:
            varint()
        elif key & 7 == 2:
            length = varint()
            content = message[position : position + length]
            position += length
            if key >> 3 == wanted:
                return content
        else:
            position += {1: 8, 5: 4}[key & 7]
    raise KeyError(wanted)


def character_map(model: bytes) -> bytes:
    """`precompiled_charsmap` in the normalizer's part of a SentencePiece model."""
    return field(field(model, 3), 2)


def t5_pieces(model: bytes) -> list[tuple[str, float]]:
    """Pieces and scores, with the extra names at the end."""
    extra = [(f"<extra_id_{index}>", 0.0) for index in reversed(range(EXTRA_IDS))]
    return [(piece, score) for piece, score, _ in vocabulary.pieces(model)] + extra


def t5_tokenizer(model: bytes) -> Tokenizer:
    """The tokenizer.json form of `model`, as T5 tokenizers are published."""
    pieces = t5_pieces(model)
    result = Tokenizer(token_models.Unigram(pieces, unk_id=2, byte_fallback=False))
    named = [piece for index, (piece, _) in enumerate(pieces) if index < 3 or piece.startswith("<extra_id_")]
    result.add_special_tokens([AddedToken(piece, special=True, normalized=False) for piece in named])
    result.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(character_map(model)),
            normalizers.Strip(left=False, right=True),
            normalizers.Replace(Regex(" {2,}"), vocabulary.SPACE),
        ]
    )
    result.pre_tokenizer = pre_tokenizers.Metaspace(vocabulary.SPACE, prepend_scheme="always", split=True)
    result.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    result.decoder = decoders.Metaspace(vocabulary.SPACE, prepend_scheme="always", split=True)
    return result


def write_t5(folder: Path) -> None:
    """`spiece.model`, `tokenizer.json` and the configuration, as T5 tokenizers are published."""
    model = t5_model()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(model)
    t5_tokenizer(model).save(str(folder / "tokenizer.json"), pretty=False)
    config = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "extra_ids": EXTRA_IDS}
    write_json(folder / "tokenizer_config.json", config | {"model_max_length": 512, "tokenizer_class": "T5Tokenizer"})


def check_t5(tokenizer, prompts: list[str]) -> None:
    """transformers, the file and SentencePiece must agree on what fixtures ask."""
    model = t5_model()
    processor = spm.SentencePieceProcessor(model_proto=model)
    for prompt in prompts:
        ids = tokenizer(prompt)["input_ids"]
        assert ids == t5_tokenizer(model).encode(prompt).ids, prompt
        assert ids == processor.encode(prompt) + [1], prompt
