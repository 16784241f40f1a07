"""Fixtures of the other tokenizers of text encoders: T5's unigram models and CLIP's merges, made of a small corpus."""

import collections
import io
import json
import random
import re
import tempfile
from pathlib import Path

import sentencepiece as spm
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import CLIPTokenizer, T5TokenizerFast

import vocabulary
from common import FIXTURES, write_json_rows
from make_tokenizers import PROMPTS

FOLDER = FIXTURES / "prompt-tokenizers"
SENTINELS = [f"<extra_id_{number}>" for number in range(3)]

# Characters and what they become: single ones, sequences, longer and shorter results, and none at all.
CHARACTER_MAP = {
    "\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u3000": " ", "\u2028": " ", "\u0001": "", "\u200b": "",
    "e\u0301": "\u00e9", "a\u0308": "\u00e4", "\ufb01": "fi", "\ufb03": "ffi", "\u00bd": "1\u20442", "\u2026": "...",
    "\uff21": "A", "\uff22": "B", "\u2460": "1", "\u2122": "TM", "\u1100\u1161": "\uac00", "\u1100\u1161\u11a8": "\uac01",
    "\u201c": '"', "\u201d": '"', "\u2014": " - ", "``": '"', "\U0001f600": ":-)", "\u00e9\u0301": "e",
}

MORE_PROMPTS = [
    "<|startoftext|>", "a<|startoftext|>b <|endoftext|> c", "<|STARTOFTEXT|> <|EndOfText|>!! <|endoftext|>!",
    "don't can't I'll we're they've I'm he'd IT'S 's 'S 'll''d", "'' ''' ' x", "4k 16:9 \u0663\u2167\u00bd 100%",
    "\u0130stanbul \u03a3\u0391\u03a3 \u01c5 \u1e9e", "a\u200db a\ufe0f \uff21\u0301 \uff21\u0323\u0301", "\r\n\r\n a\r\nb",
    "<pad> </s> <unk> <extra_id_0>x<extra_id_2> <extra_id_9>", "<sep>a[x]b <sep><sep> [ x]", "\u1100\u1161 \u1100\u1161\u11a8",
    "e\u0301e\u0301 \u00e9\u0301 \ufb01\ufb03 \u2026\u2014\u2122", "\u0001a\u0001 \u200b \u200bx", "\U00011de4 \U00010400",
    "``quoted`` \u201cquoted\u201d", "hello    world   \u2581 \u2581\u2581x", "</w> a</w>", "!!!??? ... ,,, c++ c# f#", "a  ",
]

# Scalars of random prompts: scripts, marks, symbols, planes beyond the first.
RANGES = [
    (0x20, 0x7F), (0x20, 0x7F), (0x20, 0x7F), (0x09, 0x0E), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x5D0, 0x700),
    (0x900, 0xA00), (0xE00, 0xE60), (0x1100, 0x1200), (0x1E00, 0x2100), (0x2150, 0x2200), (0x3000, 0x3100), (0x4E00, 0x4F00),
    (0xAC00, 0xAD00), (0xFB00, 0xFB10), (0xFE00, 0xFE10), (0xFF01, 0xFFA0), (0x10400, 0x10450), (0x1D400, 0x1D450),
    (0x1F600, 0x1F650),
]


def random_prompts(count: int) -> list[str]:
    """Words of the corpus with random characters between them."""
    source = random.Random(20)
    words = vocabulary.CORPUS.split() + SENTINELS + list(CHARACTER_MAP)

    def part() -> str:
        if source.random() < 0.6:
            return source.choice(words)
        characters = source.choice(RANGES)
        return "".join(chr(source.randrange(*characters)) for _ in range(source.randrange(1, 6)))

    return ["".join(part() + source.choice(["", "", " ", "  "]) for _ in range(source.randrange(1, 9))) for _ in range(count)]


def prompts() -> list[str]:
    return PROMPTS + MORE_PROMPTS + random_prompts(120)


def write_golden(folder: Path, ids) -> None:
    write_json_rows(folder / "golden.json", [{"text": text, "ids": ids(text)} for text in prompts()])


def train_unigram(byte_fallback: bool) -> bytes:
    """A serialized `spiece.model` with T5's special tokens, two user-defined pieces and the map above."""
    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        for source, target in CHARACTER_MAP.items():
            codes = [" ".join(f"{ord(character):X}" for character in text) for text in (source, target)]
            rules.write("\t".join(codes) + "\n")
        rules.flush()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(vocabulary.CORPUS.strip().splitlines()), model_writer=model, model_type="unigram",
            vocab_size=430 if byte_fallback else 175, normalization_rule_tsv=rules.name, character_coverage=0.985,
            byte_fallback=byte_fallback, user_defined_symbols=["<sep>", "[x]"], pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
            num_threads=1, minloglevel=2)
    return model.getvalue()


def field(message: bytes, wanted: int) -> bytes:
    """The content of a protocol buffer field with a length; the others have a number or four bytes."""
    place = 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(message):
        key = number()
        if key & 7 == 2:
            length = number()
            if key >> 3 == wanted:
                return message[place:place + length]
            place += length
        elif key & 7 == 5:
            place += 4
        else:
            number()
    raise ValueError(f"the message has no field {wanted}")


def character_map(model: bytes) -> bytes:
    """`normalizer_spec.precompiled_charsmap` of a model."""
    return field(field(model, 3), 2)


def write_unigram(name: str, byte_fallback: bool) -> None:
    """A model file; its golden ids have no `</s>`. Beside it the same as tokenizer.json, with the ids that the file
    gives and those of transformers' T5TokenizerFast, which have one."""
    model = train_unigram(byte_fallback)
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(model)
    write_golden(folder, spm.SentencePieceProcessor(model_proto=model).encode)

    pieces = [(piece, score) for piece, score, _ in vocabulary.pieces(model)]
    pieces += [(token, 0.0) for token in reversed(SENTINELS)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=byte_fallback))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Precompiled(character_map(model)), normalizers.Strip(left=False, right=True),
        normalizers.Replace(Regex(" {2,}"), vocabulary.SPACE)])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(vocabulary.SPACE, prepend_scheme="first", split=True)
    tokenizer.post_processor = vocabulary.processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in ["<pad>", "</s>", "<unk>", *SENTINELS]])

    folder = FOLDER / f"{name}-json"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer.to_str() + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "T5Tokenizer", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
                "extra_ids": len(SENTINELS), "additional_special_tokens": SENTINELS}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    loaded = Tokenizer.from_file(str(folder / "tokenizer.json"))
    write_golden(folder, lambda text: loaded.encode(text).ids)
    fast = T5TokenizerFast.from_pretrained(folder)
    rows = [{"text": text, "ids": fast(text).input_ids} for text in prompts()]
    write_json_rows(folder / "golden-class.json", rows)


def train_merges(count: int) -> list[tuple[str, str]]:
    """Merges of CLIP's kind: byte symbols in words of the corpus, the most frequent pair first, the smaller on ties."""
    symbols = byte_symbols()
    words = collections.Counter(re.findall(r"\w+|[^\w\s]+", vocabulary.CORPUS.lower()))
    split = {word: [symbols[byte] for byte in word.encode()] for word in words}
    for pieces in split.values():
        pieces[-1] += "</w>"
    merges = []
    for _ in range(count):
        pairs = collections.Counter()
        for word, pieces in split.items():
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += words[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for pieces in split.values():
            index = 0
            while index + 1 < len(pieces):
                if (pieces[index], pieces[index + 1]) == best:
                    pieces[index:index + 2] = ["".join(best)]
                index += 1
    return merges


def byte_symbols() -> dict[int, str]:
    """The visible character of every byte, in the order of CLIP's vocabulary."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(others)}


def write_clip() -> None:
    """merges.txt and vocab.json with the settings of published folders, and tokenizer.json as it is published."""
    merges = train_merges(300)
    symbols = list(byte_symbols().values())
    texts = symbols + [symbol + "</w>" for symbol in symbols] + ["".join(pair) for pair in merges]
    vocab = {text: index for index, text in enumerate([*texts, "<|startoftext|>", "<|endoftext|>"])}
    folder = FOLDER / "clip"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges), encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False) + "\n", encoding="utf-8")
    plain = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    write_golden(folder, lambda text: plain(text).input_ids)

    def token(content: str, normalized: bool) -> dict:
        return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False,
                "special": True}

    # As for the second encoder of SDXL: "!" pads, and so is a special token.
    settings = {
        "added_tokens_decoder": {
            "0": token("!", False), str(len(vocab) - 2): token("<|startoftext|>", True),
            str(len(vocab) - 1): token("<|endoftext|>", False)},
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "model_max_length": 8192, "pad_token": "!",
        "tokenizer_class": "CLIPTokenizer", "unk_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    configured = CLIPTokenizer.from_pretrained(folder)
    rows = [{"text": text, "ids": configured(text).input_ids} for text in prompts()]
    write_json_rows(folder / "golden-class.json", rows)

    content = json.loads(plain.backend_tokenizer.to_str())
    split = content["pre_tokenizer"]["pretokenizers"][0]
    split["pattern"]["Regex"] = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    content["added_tokens"][0]["normalized"] = True
    folder = FOLDER / "clip-json"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    loaded = Tokenizer.from_file(str(folder / "tokenizer.json"))
    write_golden(folder, lambda text: loaded.encode(text).ids)


def main() -> None:
    write_unigram("unigram", byte_fallback=False)
    write_unigram("unigram-bytes", byte_fallback=True)
    write_clip()


if __name__ == "__main__":
    main()
