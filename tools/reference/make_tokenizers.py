"""Tokenizer fixtures: one SentencePiece model, many tokenizer.json variants of it, and the ids of hard prompts."""

import json
from collections.abc import Callable

import sentencepiece as spm
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

import vocabulary
from common import FIXTURES, write_json_rows

PROMPTS = [
    "",
    " ",
    "  ",
    "   ",
    "a",
    "a red fox",
    " leading space",
    "trailing space ",
    "  two  double  spaces  ",
    "a      six spaces",
    "\n",
    "first line\nsecond line",
    "\r\n carriage return",
    "tab\tseparated\t\ttext",
    "\u00a0no-break\u00a0space\u3000ideographic",
    "\u2581",
    "\u2581literal lower one eighth block\u2581",
    " \u2581 mixed",
    "UPPER lower MiXeD",
    "STRASSE stra\u00dfe \u0130stanbul \u03a3\u03a3\u03c2",
    "caf\u00e9 cafe\u0301",
    "a\u0315\u0300\u05ae\u0301b reordered marks",
    "\u1e9b\u0323 \ufb01ne \u2460 \uff21\uff22\uff23 \u00bd",
    "\uac00\ub098 \u1100\u1161\u11a8",
    "H\u00e4uschen, gr\u00fcne B\u00e4ume, wei\u00dfer Mond",
    "\u65e5\u672c\u8a9e \u6f22\u5b57 \u65e5\u672c\u306e\u5c71",
    "emoji \U0001f600 \U0001f469\u200d\U0001f680 \U0001f1e9\U0001f1ea",
    "\U0001f600\U0001f600\U0001f600",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947",
    "\u0000\u0001\u001f\u007f\u0085 control",
    "\ufeffbyte order mark \u200b zero width",
    "\ufffd replacement \U0010ffff last",
    "a</s>b",
    "</s>",
    " </s> spaced </s> ",
    "<s>begin<s><s> </s>",
    "<unk> unknown <unk>",
    "</ s> <S> </S> <<s>>",
    "<0x41><0x0A> literal bytes",
    "0123456789 3.14 1,000,000 -7",
    "2048x2048, f/1.8; 50%",
    "((masterpiece)), [blurry:0.5] {x|y}",
    "don't \u2014 \u201cquoted\u201d \u2026",
    "the the the ttthhheee",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "<lora:style> in <LORA:STYLE> text<lora:style>more",
    "a mask here <mask> and there<mask>, unmasked masks",
    "word words wordy sword word",
    "score_9, score_9_up score_9",
    "Caf\u00e9Token caf\u00e9token cafe\u0301token",
    ("a wide landscape with mountains, a lake and a red sun behind the clouds, " * 12),
    ("\u6f22\U0001f600 " * 30),
]


def plain(tokenizer: Tokenizer) -> None:
    """As LLaMA-like tokenizers are published today."""


def metaspace(scheme: str, split: bool) -> Callable[[Tokenizer], None]:
    """Another prefix rule."""

    def change(tokenizer: Tokenizer) -> None:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(vocabulary.SPACE, prepend_scheme=scheme, split=split)

    return change


def legacy_steps() -> list:
    """The normalizers that do Metaspace's work in older files."""
    return [normalizers.Prepend(vocabulary.SPACE), normalizers.Replace(" ", vocabulary.SPACE)]


def normalized(*steps) -> Callable[[Tokenizer], None]:
    """`steps` and then the legacy prefix, without a pre-tokenizer."""

    def change(tokenizer: Tokenizer) -> None:
        tokenizer.pre_tokenizer = None
        tokenizer.normalizer = normalizers.Sequence([*steps, *legacy_steps()])

    return change


def nfkc_metaspace(tokenizer: Tokenizer) -> None:
    """A single normalizer (not a sequence) before Metaspace, whose "first" sees added tokens as sections."""
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(vocabulary.SPACE, prepend_scheme="first", split=False)


def added_tokens(tokenizer: Tokenizer) -> None:
    """Every flag of added tokens, with a lowercasing normalizer to tell `normalized` apart."""
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.add_special_tokens(
        [
            AddedToken("<lora:style>", special=True, normalized=False),
            AddedToken("<mask>", special=True, normalized=False, lstrip=True, rstrip=True),
        ]
    )
    tokenizer.add_tokens(
        [
            AddedToken("word", single_word=True, normalized=False),
            AddedToken("masks", single_word=True, normalized=True, lstrip=True),
            AddedToken("score_9", normalized=False, rstrip=True),
            AddedToken("score_9_up", normalized=False),
            AddedToken("Caf\u00e9Token", normalized=True),
            AddedToken("numbers", normalized=True, lstrip=True),
        ]
    )


def added_tokens_legacy(tokenizer: Tokenizer) -> None:
    """Added tokens with the legacy prefix: every section between them gets its own prefix."""
    normalized()(tokenizer)
    tokenizer.add_special_tokens([AddedToken("<mask>", special=True, normalized=False, lstrip=True)])
    tokenizer.add_tokens([AddedToken("red fox", normalized=True), AddedToken("blurry", normalized=True, rstrip=True)])


def both_ends(tokenizer: Tokenizer) -> None:
    """`<s>` before and `</s>` after."""
    tokenizer.post_processor = vocabulary.template("<s> $A </s>")


def no_ends(tokenizer: Tokenizer) -> None:
    """No post-processor."""
    tokenizer.post_processor = None


def with_strings(content: dict) -> None:
    """Merges as "a b" strings, the older file form."""
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]


def without_version_defaults(content: dict) -> None:
    """Optional keys absent, as minimal writers leave them."""
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        del content["model"][key]
    for key in ("truncation", "padding", "decoder"):
        del content[key]


def with_fewer_merges(content: dict) -> None:
    """Leaves pieces that no merge reaches, which only `ignore_merges` can give."""
    del content["model"]["merges"][::3]


VARIANTS: dict[str, tuple[Callable, dict, Callable | None]] = {
    "metaspace-always": (plain, {}, None),
    "metaspace-always-split": (metaspace("always", True), {}, None),
    "metaspace-first": (metaspace("first", False), {}, None),
    "metaspace-first-split": (metaspace("first", True), {}, None),
    "metaspace-never": (metaspace("never", False), {}, None),
    "metaspace-never-split": (metaspace("never", True), {}, with_strings),
    "legacy-normalizer": (normalized(), {}, with_strings),
    "nfc-lowercase": (normalized(normalizers.NFC(), normalizers.Lowercase()), {}, None),
    "nfkc-first": (nfkc_metaspace, {}, None),
    "nfd-strip": (normalized(normalizers.Strip(), normalizers.NFD()), {}, None),
    "added-tokens": (added_tokens, {}, None),
    "added-tokens-legacy": (added_tokens_legacy, {}, with_strings),
    "bos-eos": (both_ends, {"fuse_unk": False}, None),
    "no-post-processor": (no_ends, {}, without_version_defaults),
    "no-bytes-fused-unknown": (plain, {"byte_fallback": False}, None),
    "no-bytes-single-unknowns": (plain, {"byte_fallback": False, "fuse_unk": False}, None),
    "no-bytes-no-unknown": (plain, {"byte_fallback": False, "unk_token": None}, None),
    "missing-byte": (plain, {"without": "<0xF0>"}, None),
    "ignore-merges": (metaspace("always", True), {"ignore_merges": True}, with_fewer_merges),
}


def write_variant(name: str, model: bytes) -> None:
    """tokenizer.json and the ids that the file itself gives."""
    change, options, rewrite = VARIANTS[name]
    options = dict(options)
    if (missing := options.pop("without", None)) is not None:
        options["vocab"] = {
            piece: index for index, (piece, _, _) in enumerate(vocabulary.pieces(model)) if piece != missing
        }
    tokenizer = vocabulary.tokenizer(model, **options)
    change(tokenizer)
    content = json.loads(tokenizer.to_str())
    if rewrite is not None:
        rewrite(content)
    folder = FIXTURES / "tokenizers" / name
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    loaded = Tokenizer.from_file(str(file))
    write_json_rows(folder / "golden.json", [{"text": text, "ids": loaded.encode(text).ids} for text in PROMPTS])


def write_sentencepiece(model: bytes) -> None:
    """The raw model; its golden ids have neither `<s>` nor `</s>`."""
    folder = FIXTURES / "tokenizers" / "sentencepiece"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model)
    processor = spm.SentencePieceProcessor(model_proto=model)
    write_json_rows(folder / "golden.json", [{"text": text, "ids": processor.encode(text)} for text in PROMPTS])


def main() -> None:
    model = vocabulary.train_sentencepiece()
    write_sentencepiece(model)
    for name in VARIANTS:
        write_variant(name, model)


if __name__ == "__main__":
    main()
