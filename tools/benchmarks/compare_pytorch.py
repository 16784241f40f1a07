#!/usr/bin/env python3
"""Compares matrix products, attention and image decoding with PyTorch in float32 on the same threads.

    swift build -c release --product auraflow
    python3 -m venv .venv && .venv/bin/pip install torch diffusers
    .venv/bin/python tools/benchmarks/compare_pytorch.py                    # everything, about 15 minutes
    .venv/bin/python tools/benchmarks/compare_pytorch.py --kernels avx2 --only matmul --types Q4_K,Q8_0

Both sides are measured in turns, each several times; tables hold medians. A ratio is PyTorch's time over ours; its
floor is what this project promises. diffusers is needed for the decoder only. Ends with 1 if a ratio is below its
floor and --check is given. Prints Markdown.
"""

import pathlib
import sys
import tempfile

import torch

import common

FLOORS = {
    "Q4_0": 2.5, "Q4_1": 2.5, "Q4_K": 2.5, "Q2_K": 2.4, "Q3_K": 2.4, "Q5_0": 1.9, "Q5_1": 1.9, "Q5_K": 1.9,
    "Q6_K": 1.9, "IQ4_NL": 1.9, "IQ4_XS": 1.9, "Q8_0": 1.7, "F16": 1.3, "BF16": 1.3, "F32": 1.3,
}
ATTENTION_FLOOR = 1.3
DECODER_FLOOR = 1.0
# AuraFlow's: 12 heads of 256.
HEADS, HEAD_WIDTH = 12, 256


class Comparison:
    """Prints rows and remembers whether one was below its floor."""

    def __init__(self, options):
        self.options = options
        self.program = common.Program(options)
        self.missed = []

    def measure(self, reference, *arguments: str) -> tuple[float, dict]:
        """PyTorch's median time and our result, taken in turns."""
        repetitions = str(self.options.repetitions)
        times, results = [], []
        for _ in range(self.options.rounds):
            times.append({"seconds": common.seconds(reference, self.options.repetitions)})
            results.append(self.program.bench(*arguments, "--repetitions", repetitions))
        return common.middle(times)["seconds"], common.middle(results)

    def verdict(self, what: str, ratio: float, floor: float) -> str:
        if ratio >= floor:
            return f"{floor}"
        self.missed.append(f"{what}: {ratio:.2f} < {floor}")
        return f"**{floor}**"

    def matmul(self):
        print("Products: rows of activations times a weight [out, in]. Bold floors are missed.\n")
        common.print_columns(
            "weight:", "rows", "type:", "computed in:", "PyTorch GFLOP/s", "GFLOP/s", "ratio", "floor", "GB/s",
            "share of peak")
        for shape in self.options.shapes.split(","):
            outputs, inputs = map(int, shape.split("x"))
            weight = torch.randn(outputs, inputs)
            for rows in map(int, self.options.rows.split(",")):
                x = torch.randn(rows, inputs)
                for name in self.options.types.split(","):
                    theirs, ours = self.measure(
                        lambda: torch.nn.functional.linear(x, weight), "matmul", "--types", name, "--rows", str(rows),
                        "--shapes", shape, "--no-openblas")
                    ratio = theirs / ours["seconds"]
                    share = ours["shareOfPeak"]
                    common.print_row(
                        shape, rows, name, ours["activations"], f"{2e-9 * rows * outputs * inputs / theirs:.0f}",
                        f"{ours['gflops']:.0f}", f"{ratio:.2f}",
                        self.verdict(f"{name} {shape} x {rows}", ratio, FLOORS[name]),
                        f"{ours['gigabytesPerSecond']:.2f}", f"{share:.2f}" if share else "-")
        print()

    def attention(self):
        print(f"Attention: {HEADS} heads of {HEAD_WIDTH}, against `scaled_dot_product_attention`.\n")
        common.print_columns("tokens", "PyTorch GFLOP/s", "GFLOP/s", "ratio", "floor")
        for tokens in map(int, self.options.rows.split(",")):
            q, k, v = (torch.randn(1, HEADS, tokens, HEAD_WIDTH) for _ in range(3))
            theirs, ours = self.measure(
                lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v), "attention", "--tokens",
                str(tokens), "--heads", str(HEADS), "--head-dim", str(HEAD_WIDTH))
            ratio = theirs / ours["seconds"]
            common.print_row(
                tokens, f"{4e-9 * HEADS * HEAD_WIDTH * tokens ** 2 / theirs:.0f}", f"{ours['gflops']:.0f}",
                f"{ratio:.2f}", self.verdict(f"attention {tokens}", ratio, ATTENTION_FLOOR))
        print()

    def vae(self):
        from diffusers import AutoencoderKL

        torch.manual_seed(0)
        widths = (128, 256, 512, 512)
        model = AutoencoderKL(
            block_out_channels=widths, down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths), layers_per_block=2, latent_channels=4).eval()
        print("Decoding one picture: SDXL's autoencoder with random float32 weights, against diffusers.\n")
        common.print_columns("size", "PyTorch s", "s", "ratio", "floor")
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            path = str(next(pathlib.Path(folder).glob("*.safetensors")))
            for size in map(int, self.options.sizes.split(",")):
                latents = torch.randn(1, 4, size // 8, size // 8)
                theirs, ours = self.measure(lambda: model.decode(latents), "vae", "--vae", path, "--size", str(size))
                ratio = theirs / ours["seconds"]
                common.print_row(
                    size, f"{theirs:.2f}", f"{ours['seconds']:.2f}", f"{ratio:.2f}",
                    self.verdict(f"decoder {size}", ratio, DECODER_FLOOR))
        print()


def main() -> int:
    parser = common.parser(__doc__)
    parser.add_argument("--only", default="matmul,attention,vae", help="what to compare")
    parser.add_argument("--types", default=",".join(FLOORS), help="types of weights")
    parser.add_argument("--shapes", default="3072x3072,8192x3072", help="weights as OUTxIN")
    parser.add_argument("--rows", default="1088,4200", help="rows of activations, and tokens of attention")
    parser.add_argument("--sizes", default="512,1024", help="widths of decoded pictures")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of which each measurement is the median")
    parser.add_argument("--check", action="store_true", help="end with 1 if a floor is missed")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    versions = {"torch": torch.__version__}
    if "vae" in options.only:
        import diffusers
        versions["diffusers"] = diffusers.__version__
    common.print_head(options, versions)
    comparison = Comparison(options)
    with torch.inference_mode():
        for section in options.only.split(","):
            getattr(comparison, section)()
    for line in comparison.missed:
        print(f"- below its floor: {line}")
    return 1 if options.check and comparison.missed else 0


if __name__ == "__main__":
    sys.exit(main())
