#!/usr/bin/env python3
"""Writes small sound files of every format that is fuzzed, from which the fuzzer starts.

    python3 tools/fuzz/make_seeds.py FOLDER

FOLDER gets one folder for each reader. What the fuzzer made of them is in Tests/Fixtures/fuzz-corpus.
"""

import base64
import json
import pathlib
import struct
import sys
import zlib


def text(value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(value)) + value


def gguf(pairs: list[tuple[str, int, bytes]], tensors=(), version=3, alignment=32) -> bytes:
    """A GGUF file of metadata (key, type number, bytes) and tensors (name, dimensions, type, data)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    for key, number, value in pairs:
        head += text(key) + struct.pack("<I", number) + value
    data = b""
    for name, dimensions, number, content in tensors:
        data += bytes(-len(data) % alignment)
        head += text(name) + struct.pack("<I", len(dimensions)) + struct.pack(f"<{len(dimensions)}Q", *dimensions)
        head += struct.pack("<IQ", number, len(data))
        data += content
    return head + bytes(-len(head) % alignment) + data if tensors else head


def array(number: int, elements: list[bytes]) -> bytes:
    return struct.pack("<IQ", number, len(elements)) + b"".join(elements)


def gguf_seeds() -> list[bytes]:
    f32 = lambda *values: struct.pack(f"<{len(values)}f", *values)
    # Numbers of ggml's types with elements and bytes of a block.
    blocks = {
        2: (32, 18), 3: (32, 20), 6: (32, 22), 8: (32, 34), 10: (256, 84), 11: (256, 110), 12: (256, 144),
        13: (256, 176), 14: (256, 210), 16: (256, 66), 18: (256, 98), 19: (256, 50), 20: (32, 18), 23: (256, 136),
        29: (256, 56), 34: (256, 54), 35: (256, 66), 39: (32, 17), 1: (1, 2), 30: (1, 2), 24: (1, 1), 28: (1, 8),
    }
    kinds = [
        ("a", 0, b"\7"), ("b", 1, b"\xff"), ("c", 2, b"\1\2"), ("d", 3, b"\xff\xff"), ("e", 4, b"\1\0\0\0"),
        ("f", 5, b"\xfe\xff\xff\xff"), ("g", 6, f32(3.5)), ("h", 7, b"\1"), ("i", 8, text("é")),
        ("j", 9, array(9, [array(4, [b"\1\0\0\0"]), array(7, [b"\1", b"\0"])])), ("k", 10, b"\xff" * 8),
        ("l", 11, b"\xff" * 8), ("m", 12, struct.pack("<d", 0.1)), ("n", 9, array(8, [text("a"), text("")])),
    ]
    hashes = [("auraflow.tensor_hashes.xxh64", 9, array(10, [b"\1" * 8]))]
    return [
        gguf([]), gguf(kinds), gguf(kinds, version=2),
        gguf([("general.alignment", 4, b"\x40\0\0\0")], [("w", [2, 2], 0, f32(1, 2, 3, 4))], alignment=64),
        gguf(hashes, [("w", [3], 0, f32(1, 2, 3))]),
        gguf([], [("empty", [0, 2], 0, b""), ("scalar", [], 0, f32(1)), ("w", [1, 1, 1, 2], 0, f32(1, 2))]),
        gguf([("split.count", 2, b"\1\0"), ("split.no", 2, b"\0\0")]),
    ] + [gguf([], [("w", [size], number, b"\1" * count)]) for number, (size, count) in blocks.items()]


def safetensors(header: dict | str, data: bytes = b"") -> bytes:
    head = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(head)) + head + data


def safetensors_seeds() -> list[bytes]:
    one = lambda dtype, count: {"dtype": dtype, "shape": [2], "data_offsets": [0, count]}
    sizes = {"F64": 16, "F32": 8, "F16": 4, "BF16": 4, "I64": 16, "I32": 8, "I16": 4, "I8": 2, "U8": 2, "BOOL": 2,
             "F8_E4M3": 2, "F8_E5M2": 2, "U64": 16, "U32": 8, "U16": 4}
    two = {"a": one("F32", 8), "é": {"dtype": "U8", "shape": [], "data_offsets": [8, 9]},
           "z": {"dtype": "F32", "shape": [0, 3], "data_offsets": [9, 9]}}
    metadata = {"format": "pt", "auraflow.tensor_hashes.xxh64": "0123456789abcdef", "_quantization_metadata": "{}"}
    return [
        safetensors({}), safetensors('{ "__metadata__" : null }  '), safetensors(two, bytes(9)),
        safetensors({"__metadata__": metadata, "w": one("F32", 8)}, bytes(8)),
        safetensors(r'{"\u00e9\ud83d\ude00":{"extra":[1,{"a":null}],"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"a"),
    ] + [safetensors({"w": one(dtype, size)}, b"\x7f" * size) for dtype, size in sizes.items()]


def index_seeds() -> list[bytes]:
    names = [f"m-0000{number}-of-00002.safetensors" for number in (1, 2)]
    return [json.dumps(value).encode() for value in [
        {"metadata": {"total_size": 16}, "weight_map": {"a": names[0], "b": names[1], "c": names[0]}},
        {"weight_map": {}}, {"weight_map": {"é": "../a"}}, {"weight_map": {"a": "a"}, "more": [1.5e3, True, None]}]]


def json_seeds() -> list[bytes]:
    return [
        b'{"a":[1,-2.5e+3,true,false,null,"x\\n\\u00e9\\ud83d\\ude00"],"b":{}}', b" [ ] ", b'"\xc3\xa9\xf0\x9f\x98\x80"',
        b"[18446744073709551615,-9223372036854775808,1e999,-0,0.0]", b"[" * 130 + b"]" * 130, b'{"a":1,"a":2}',
        b'["\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u202e"]', b"[1,[2,[3,{\"a\":[4,5,6,7,8,9,10,11,12]}]]]"]


def tokenizer_seeds() -> list[bytes]:
    pieces = ["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab", "é", "<0x41>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    model = {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
             "vocab": vocabulary, "merges": ["a b", ["▁", "ab"]]}
    special = {"id": 2, "content": "</s>", "single_word": False, "lstrip": False, "rstrip": True, "normalized": False,
               "special": True}
    word = {"id": 10, "content": "photo", "single_word": True, "lstrip": True, "normalized": True}
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A"}}, {"Sequence": {"id": "B"}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
    steps = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
             {"type": "Replace", "pattern": {"Regex": "oo"}, "content": ""}, {"type": "Lowercase"},
             {"type": "Strip", "strip_left": True, "strip_right": False}]
    forms = [{"type": form} for form in ("NFC", "NFD", "NFKC", "NFKD")]
    seeds = [{"version": "1.0", "model": model, "text": "ab </s> ab"},
             {"model": model, "added_tokens": [special, word], "post_processor": template, "pre_tokenizer": metaspace},
             {"model": model, "normalizer": {"type": "Sequence", "normalizers": steps},
              "post_processor": {"type": "Sequence", "processors": [template, template]},
              "pre_tokenizer": {"type": "Sequence", "pretokenizers": [metaspace]}},
             {"model": model, "truncation": {"direction": "Left"}, "tokenizer_config": {
                 "add_prefix_space": True, "legacy": False, "truncation_side": "left", "eos_token": "</s>",
                 "pad_token": special, "split_special_tokens": False, "added_tokens_decoder": {"2": special}}},
             {"model": model, "special_tokens_map": {"extra_special_tokens": ["<x>"], "bos_token": None}}]
    seeds += [{"model": model, "normalizer": form} for form in forms]
    words = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": r"'s|<\|x\|>|[\p{L}]+|\p{N}|[^\s\p{L}\p{N}]+"}, "behavior": "Removed",
         "invert": True}, {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]}
    frame = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}
    collapse = {"type": "Replace", "pattern": {"Regex": r"\s{2,}"}, "content": " "}
    byte_level = model | {"byte_fallback": False, "end_of_word_suffix": "b"}
    unigram = {"type": "Unigram", "unk_id": 2, "byte_fallback": True,
               "vocab": [[piece, -float(number)] for number, piece in enumerate(pieces)]}
    charsmap = base64.b64encode(character_map()).decode()
    seeds += [{"model": byte_level, "pre_tokenizer": words, "post_processor": frame, "normalizer": collapse, "text": "ab 's"},
              {"model": unigram, "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap},
               "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
               "padding": {"pad_id": 0}, "tokenizer_config": {"extra_ids": 2}}]
    return [json.dumps(seed, ensure_ascii=False, separators=(",", ":")).encode() for seed in seeds]


def field(number: int, content: bytes | int | float) -> bytes:
    if isinstance(content, float):
        return bytes([number << 3 | 5]) + struct.pack("<f", content)
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


PIECES = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("▁", -3.0, 1), ("a", -4.0, 1), ("b", -5.0, 1),
          ("ab", -1.0, 5), ("▁ab", -2.0, 1), ("photo", -6.0, 4), ("é", -7.0, 1)]


def character_map() -> bytes:
    """A map of characters that makes "b" of "é" and nothing of "x": the trie as a double array, then the texts."""
    units = [0] * 195
    # The children of the root lie around place 1, those of its child 0xC3 around 3.
    units[0] = 1 << 10
    units[1 ^ 0xC3] = 0xC3 | (1 ^ 0xC3 ^ 3) << 10
    units[3 ^ 0xA9] = 0xA9 | 1 << 8 | (3 ^ 0xA9 ^ 5) << 10
    units[1 ^ 0x78] = 0x78 | 1 << 8 | (1 ^ 0x78 ^ 6) << 10
    units[5], units[6] = 1 << 31 | 0, 1 << 31 | 2
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + b"b\0\0"


def merges_seeds() -> list[bytes]:
    pieces = ["a", "b", "a</w>", "b</w>", "ab", "ab</w>", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = json.dumps({piece: number for number, piece in enumerate(pieces)}).encode()
    return [b"#version: 0.2\na b\nab b</w>\n", "t o\r\nto o</w>\r\nÃ ©\r\n".encode(), b"",
            b'"x#version"\na b\na b</w>\n\0' + vocabulary, b"a b c"]


def sentencepiece_seeds() -> list[bytes]:
    def model(trainer: bytes, normalizer: bytes = b"", pieces=PIECES) -> bytes:
        out = b"".join(field(1, field(1, name.encode()) + field(2, score) + field(3, kind))
                       for name, score, kind in pieces)
        return out + field(2, trainer) + (field(3, normalizer) if normalizer else b"")

    every = PIECES + [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    t5 = field(3, 1) + field(47, b"</s>") + field(48, b"<s>")
    options = field(1, b"identity") + field(3, 1) + field(4, 0) + field(5, 1)
    return [model(field(3, 2)), model(field(3, 2) + field(24, 1), options), model(field(3, 2), field(5, 0)),
            model(field(3, 2) + field(35, 1) + field(47, b"</s>"), options, every), model(field(3, 3)), model(t5), model(t5 + field(35, 1), options, every),
            model(t5, field(2, character_map()))]


def vocabulary_seeds() -> list[bytes]:
    key = lambda name: "tokenizer.ggml." + name
    names = [text(name) for name, _, _ in PIECES]
    scores = [struct.pack("<f", score) for _, score, _ in PIECES]
    types = [struct.pack("<i", kind) for _, _, kind in PIECES]
    lists = [(key("model"), 8, text("llama")), (key("tokens"), 9, array(8, names)),
             (key("scores"), 9, array(6, scores))]
    flags = [(key(name), 7, b"\1") for name in ("add_bos_token", "add_eos_token", "remove_extra_whitespaces")]
    numbers = [(key(name + "_token_id"), 4, struct.pack("<I", id))
               for name, id in (("bos", 1), ("eos", 2), ("unknown", 0))]
    more = [(key("token_type"), 9, array(5, types)), (key("add_space_prefix"), 7, b"\0")]
    unigram = [(key("model"), 8, text("t5"))] + lists[1:] + [
        (key("precompiled_charsmap"), 9, array(0, [bytes([byte]) for byte in character_map()])),
        (key("padding_token_id"), 4, struct.pack("<I", 3))]
    return [gguf(lists), gguf(unigram + more), gguf(lists + more), gguf(lists + flags + numbers), gguf(lists + more + flags + numbers)]


def png_seeds() -> list[bytes]:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    def picture(depth: int, colour: int, interlaced: int = 0, before: bytes = b"", filter_type: int = 0) -> bytes:
        channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
        width, height = 5, 4
        # Adam7: start and step of columns and rows of each pass.
        passes = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
        raw = b""
        for x, dx, y, dy in passes if interlaced else [(0, 1, 0, 1)]:
            columns, rows = len(range(x, width, dx)), len(range(y, height, dy))
            if columns:
                raw += (bytes([filter_type]) + b"\x1b" * ((columns * channels * depth + 7) // 8)) * rows
        header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
        palette = chunk(b"PLTE", bytes(range(48))) if colour == 3 else b""
        return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + palette
                + (chunk(b"tRNS", b"\x40\x80") if colour == 3 else b"")
                + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))

    depths = [(0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))]
    seeds = [picture(depth, colour, interlaced) for colour, all_depths in depths for depth in all_depths
             for interlaced in (0, 1)]
    extras = [chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"sRGB", b"\0"), chunk(b"tEXt", b"Comment\0hello"),
              chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"hello")), chunk(b"pHYs", bytes(9)),
              chunk(b"iTXt", b"Comment\0\0\0\0\0hello"), chunk(b"tIME", b"\x07\xe8\1\1\0\0\0"),
              chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
              chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(132))), chunk(b"bKGD", bytes(6)), chunk(b"sBIT", b"\5\6\5")]
    return (seeds + [picture(8, 2, before=extra) for extra in extras]
            + [picture(8, 6, filter_type=kind) for kind in range(1, 6)] + [picture(8, 0, before=chunk(b"tRNS", b"\0\5"))])


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 64
    seeds = {"gguf": gguf_seeds(), "safetensors": safetensors_seeds(), "safetensors-index": index_seeds(),
             "json": json_seeds(), "tokenizer-json": tokenizer_seeds(), "clip-merges": merges_seeds(),
             "sentencepiece": sentencepiece_seeds(), "gguf-vocabulary": vocabulary_seeds(), "png": png_seeds()}
    for reader, files in seeds.items():
        folder = pathlib.Path(sys.argv[1]) / reader
        folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(files):
            (folder / f"seed-{number:02}").write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
