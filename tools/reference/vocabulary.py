"""A tiny LLaMA-like tokenizer: SentencePiece BPE with byte fallback, and the same vocabulary as tokenizer.json."""

import io

import sentencepiece as spm
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

CORPUS = """
a red fox sleeps beside a quiet river while the morning light is soft and golden
the painter mixes blue and green until the sea on the canvas begins to move
an old lighthouse stands on the cliff and the waves break against the stones
a photograph of two cats in front of a window, one black and one white
a bowl of apples, pears and plums on a wooden table, painted in oil
the night train crosses the bridge and its windows shine over the dark water
a small robot waters the flowers in the garden of a green house
three boats rest in the harbour, their sails folded, the sky full of stars
portrait of a smiling woman with a red scarf, detailed, studio light
a wide landscape with mountains, a lake and a red sun behind the clouds
Ein kleines Häuschen am Waldrand, darüber grüne Bäume und ein weißer Mond
la forêt est calme, le café est noir, le château dort près de la rivière
blurry, low quality, noisy, dark, a bad drawing of a hand
on a black background, a rocket; on a white background, a rose
The quick brown fox jumps over the lazy dog. Numbers: 0 1 2 3 4 5 6 7 8 9, 10 and 2048!
日本の山と川 日本語の文
four    spaces    between    words    and  two  here
"""

SPECIALS = ["<unk>", "<s>", "</s>"]
SPACE = "\u2581"


def train_sentencepiece(vocab_size: int = 384) -> bytes:
    """The serialized `tokenizer.model`: identity normalizer, dummy prefix, split digits, byte fallback."""
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.strip().splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        byte_fallback=True,
        add_dummy_prefix=True,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        split_digits=True,
        allow_whitespace_only_pieces=True,
        character_coverage=0.985,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def pieces(model: bytes) -> list[tuple[str, float, int]]:
    """(piece, score, type) of every id; the types are SentencePiece's: 1 normal, 2 unknown, 3 control, 6 byte."""
    processor = spm.SentencePieceProcessor(model_proto=model)

    def kind(index: int) -> int:
        if processor.is_unknown(index):
            return 2
        if processor.is_control(index):
            return 3
        return 6 if processor.is_byte(index) else 1

    count = processor.get_piece_size()
    return [(processor.id_to_piece(index), processor.get_score(index), kind(index)) for index in range(count)]


def merges(model: bytes) -> list[tuple[str, str]]:
    """The BPE merges of a SentencePiece model: every split of a piece into two pieces, best score first."""
    normal = [(piece, score) for piece, score, kind in pieces(model) if kind == 1]
    ids = {piece: index for index, (piece, _) in enumerate(normal)}
    rows = []
    for piece, score in normal:
        splits = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        known = [split for split in splits if split[0] in ids and split[1] in ids]
        rows += [(score, split) for split in sorted(known, key=lambda split: (ids[split[0]], ids[split[1]]))]
    rows.sort(key=lambda row: -row[0])
    return [split for _, split in rows]


def template(single: str) -> processors.TemplateProcessing:
    """A post-processor such as `$A </s>`."""
    return processors.TemplateProcessing(single=single, special_tokens=[("<s>", 1), ("</s>", 2)])


def tokenizer(model: bytes, **bpe) -> Tokenizer:
    """The tokenizer.json form of `model`, as LLaMA tokenizers are published; `bpe` overrides model options."""
    vocab = {piece: index for index, (piece, _, _) in enumerate(pieces(model))}
    options = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True} | bpe
    result = Tokenizer(models.BPE(vocab=options.pop("vocab", vocab), merges=merges(model), **options))
    result.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    result.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="always", split=False)
    result.post_processor = template("$A </s>")
    result.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return result


def legacy_tokenizer(model: bytes) -> Tokenizer:
    """The older file form, where normalizers put the prefix before every section and no pre-tokenizer exists."""
    result = tokenizer(model)
    result.pre_tokenizer = None
    result.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    return result
