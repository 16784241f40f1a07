#!/usr/bin/env python3
"""What quantization costs the shipped model, and what sizes measured by `convert --target-size` save.

    swift build -c release --product auraflow
    python tools/benchmarks/quality.py levels --output DIR      # every type beside F16, 32 prompts: 3 to 8 minutes
    python tools/benchmarks/quality.py levels --output DIR --activations exact
    python tools/benchmarks/quality.py targets --output DIR     # mixes beside files of their sizes: 3 to 8 minutes

`levels` leaves DIR/report.html. `targets` measures on prompts/icons-measure.txt and compares on prompts/icons.txt, with
mixes as they are published, and mixes that got the same importance matrix. Prints Markdown. What is finished in DIR is
not computed again.
"""

import json
import pathlib
import shlex
import subprocess
import sys

import common

PROMPTS = pathlib.Path(__file__).with_name("prompts")
MODEL = common.ROOT / "models/auraflow-icons.gguf"
TYPES = "q8_0,q6_K,q5_K_M,q5_K,q5_1,q5_0,q4_K_M,q4_K_S,q4_K,q4_1,q4_0,iq4_nl,iq4_xs,q3_K_L,q3_K_M,q3_K,q2_K"
MIXES = "q2_K,q3_K_S,q3_K_M,q4_K_S,q4_K_M,q5_K_S"


def compare(options, arguments: list, output: pathlib.Path) -> list[dict]:
    """Runs the comparison and returns its levels."""
    command = [
        options.program, "compare", "--reference", MODEL, "--prompts", PROMPTS / "icons.txt", "--output", output,
        "--threads", str(options.threads), "--activations", options.activations, *arguments]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return json.loads((output / "results.json").read_text())["levels"]


def spread(measure: dict | None, digits: int) -> str:
    """A median with the worst in brackets."""
    if measure is None:
        return "-"
    texts = ["same" if value is None else f"{value:.{digits}f}" for value in (measure["median"], measure["worst"])]
    return texts[0] if texts[0] == texts[1] else f"{texts[0]} ({texts[1]})"


def print_level(level: dict):
    """One line of the table of levels."""
    common.print_row(
        level["name"], f"{level['bytes'] / 1e6:.1f} MB", f"{level['bitsPerWeight']:.2f}", spread(level["psnr"], 1),
        spread(level["ssim"], 3), spread(level["flip"], 3),
        "-" if level["velocityError"] is None else f"{level['velocityError']:.4f}")


def levels(options):
    """Every type beside the reference."""
    common.print_columns("level:", "size", "bits per weight", "PSNR, dB", "SSIM", "FLIP", "velocity error")
    for level in compare(options, ["--types", options.types], options.output / "levels"):
        print_level(level)


def targets(options):
    """Published mixes beside files of their sizes whose types were measured."""
    options.output.mkdir(parents=True, exist_ok=True)
    measured = options.output / "measured"
    models = []
    for mix in options.mixes.split(","):
        paths = [options.output / f"{kind}-{mix}.gguf" for kind in ("mix", "imatrix", "target")]
        convert(options, paths[0], "--type", mix)
        convert(
            options, paths[2], "--target-size", str(paths[0].stat().st_size), "--measured", measured,
            "--prompts", PROMPTS / "icons-measure.txt")
        if not paths[1].exists():
            # One for all sizes: it was measured on the same steps. An older one is another model's.
            importance = max(measured.glob("imatrix-*.gguf"), key=lambda path: path.stat().st_mtime, default=None)
            if importance is None:
                sys.exit(f"{measured} holds no importance matrix: remove {paths[2]}, it will be measured again")
            convert(options, paths[1], "--type", mix, "--imatrix", importance)
        models += paths
    found = {level["name"]: level for level in compare(options, ["--models", *models], options.output / "compared")}
    common.print_columns(
        "size of:", "velocity error: mix", "mix with importance matrix", "`--target-size`", "median PSNR: mix",
        "mix with importance matrix", "`--target-size`")
    for mix in options.mixes.split(","):
        rows = [found[f"{kind}-{mix}"] for kind in ("mix", "imatrix", "target")]
        if rows[2]["bytes"] > rows[0]["bytes"]:
            sys.exit(f"{mix}: ours has {rows[2]['bytes']} bytes, more than the mix's {rows[0]['bytes']}")
        common.print_row(
            f"{mix.upper()}, {rows[0]['bytes'] / 1e6:.1f} MB", *(f"{row['velocityError']:.3f}" for row in rows),
            *(f"{row['psnr']['median']:.1f}" for row in rows))


def convert(options, output: pathlib.Path, *arguments):
    """Converts the shipped model, unless that was done."""
    if output.exists():
        return
    command = [options.program, "convert", MODEL, output, "--quiet", "--threads", options.threads, *arguments]
    subprocess.run([str(part) for part in command], check=True)


def main():
    parser = common.parser(__doc__)
    parser.add_argument("what", choices=["levels", "targets"])
    parser.add_argument("--output", required=True, type=pathlib.Path, help="folder for results")
    parser.add_argument("--types", default=TYPES, help="types and mixes of levels")
    parser.add_argument("--mixes", default=MIXES, help="mixes whose sizes are aimed at")
    parser.add_argument("--activations", default="auto", help="auto, int8 or exact")
    options = parser.parse_args()
    print(f"Command: `python {shlex.join(sys.argv)}`\n")
    {"levels": levels, "targets": targets}[options.what](options)


if __name__ == "__main__":
    main()
