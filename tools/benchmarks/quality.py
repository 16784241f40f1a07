#!/usr/bin/env python3
"""What quantization costs the shipped model, and what `convert --calibrate` and `--target-size` save.

    swift build -c release --product auraflow
    python tools/benchmarks/quality.py levels --output DIR      # every type beside F16, 32 prompts: 3 to 8 minutes
    python tools/benchmarks/quality.py levels --output DIR --activations exact
    python tools/benchmarks/quality.py targets --output DIR     # mixes beside files of their sizes: 3 to 8 minutes
    python tools/benchmarks/quality.py calibrated --output DIR --activations exact  # plain, importance matrix, calibrated
    python tools/benchmarks/quality.py evidence --output DIR --activations exact    # points, other steps and strengths

`levels` leaves DIR/report.html. `targets` measures on prompts/icons-measure.txt and compares on prompts/icons.txt, with
mixes as they are published, and mixes that got the same importance matrix. Prints Markdown. What is finished in DIR is
not computed again. `calibrated` and `evidence` calibrate on prompts/icons-calibrate.txt, none of whose pairs of subject and
background is in icons.txt.
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
CALIBRATE = PROMPTS / "icons-calibrate.txt"
CALIBRATED_TYPES = "q2_K,q3_K,q4_0,q4_K,q5_K,q6_K"
MIXES = "q2_K,q3_K_S,q3_K_M,q4_K_S,q4_K_M,q5_K_S"


def compare(options, arguments: list, output: pathlib.Path, prompts=PROMPTS / "icons.txt") -> list[dict]:
    """Runs the comparison and returns its levels."""
    command = [
        options.program, "compare", "--reference", MODEL, "--prompts", prompts, "--output", output,
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


def calibrated(options):
    """Types as they are, with an importance matrix and calibrated, and calibrated files of measured types."""
    options.output.mkdir(parents=True, exist_ok=True)
    importance = options.output / "icons.imatrix.gguf"
    if not importance.exists():
        command = [options.program, "imatrix", MODEL, "--prompts", CALIBRATE, "-o", importance, "--quiet"]
        subprocess.run([str(part) for part in command], check=True)
    names, sizes = CALIBRATED_TYPES.split(","), {}
    for name in names:
        for kind, arguments in (
                ("plain", []), ("imatrix", ["--imatrix", importance]),
                ("calibrated", ["--calibrate", CALIBRATE, "--calibrate-points", options.points])):
            convert(options, options.output / f"{kind}-{name}.gguf", "--type", name, "--preset", "pure", *arguments)
        sizes[name] = (options.output / f"plain-{name}.gguf").stat().st_size
    targets = {"q2_K": "q2_K", "q3_K_M": "q3_K_M", "q4_K": "q4_K"}
    for name in targets:
        mix = options.output / f"mix-{name}.gguf"
        convert(options, mix, "--type", name)
        convert(
            options, options.output / f"target-{name}.gguf", "--target-size", mix.stat().st_size, "--measured",
            options.output / "measured", "--prompts", PROMPTS / "icons-measure.txt", "--calibrate", CALIBRATE,
            "--calibrate-points", options.points)
    models = [options.output / f"{kind}-{name}.gguf" for name in names for kind in ("plain", "imatrix", "calibrated")]
    models += [options.output / f"target-{name}.gguf" for name in targets]
    levels = compare(options, ["--models", *models], options.output / f"compared-{options.activations}")
    found = {level["name"]: level for level in levels}
    common.print_columns(
        "file:", "size", "velocity error: plain", "importance matrix", "calibrated", "PSNR, dB: plain",
        "importance matrix", "calibrated")
    for name in names:
        rows = [found[f"{kind}-{name}"] for kind in ("plain", "imatrix", "calibrated")]
        common.print_row(
            name.upper(), f"{sizes[name] / 1e6:.2f} MB", *(f"{row['velocityError']:.4f}" for row in rows),
            *(spread(row["psnr"], 1) for row in rows))
    for name in targets:
        row = found[f"target-{name}"]
        common.print_row(
            f"`--target-size` of {name.upper()}", f"{row['bytes'] / 1e6:.2f} MB", "", "", f"{row['velocityError']:.4f}",
            "", "", spread(row["psnr"], 1))


def evidence(options):
    """Calibrated files by points, on prompts that were calibrated on and others, and off the calibration's settings."""
    options.output.mkdir(parents=True, exist_ok=True)
    points, models = [8, 24, 48, 96], []
    for count in points:
        models.append(options.output / f"points-{count}.gguf")
        convert(
            options, models[-1], "--type", "q2_K", "--preset", "pure", "--calibrate", CALIBRATE, "--calibrate-points",
            count)
    seen = options.output / "seen.txt"
    lines = [line for line in CALIBRATE.read_text().splitlines() if line and line[0] != "#"]
    seen.write_text("\n".join(lines[::4]) + "\n")
    common.print_columns("Q2_K calibrated on:", "velocity error, held-out prompts", "calibration's prompts")
    columns = []
    for prompts, name in ((PROMPTS / "icons.txt", "held-out"), (seen, "seen")):
        columns.append(compare(options, ["--models", *models], options.output / name, prompts))
    for count in points:
        rows = [next(level for level in levels if level["name"] == f"points-{count}") for levels in columns]
        common.print_row(f"{count} points", *(f"{row['velocityError']:.4f}" for row in rows))
    models = []
    for name in ("q2_K", "q4_K"):
        for kind, arguments in (("plain", []), ("calibrated", ["--calibrate", CALIBRATE])):
            models.append(options.output / f"{kind}-{name}.gguf")
            convert(options, models[-1], "--type", name, "--preset", "pure", *arguments)
    lines = [line for line in (PROMPTS / "icons.txt").read_text().splitlines() if line and line[0] != "#"]
    print()
    common.print_columns("seed 5, 16 prompts:", *(path.stem for path in models))
    for steps, guidance in ((8, 2), (50, 4.5)):
        prompts = options.output / f"steps-{steps}.jsonl"
        prompts.write_text("".join(
            json.dumps({"prompt": line, "steps": steps, "guidanceScale": guidance}) + "\n"
            for line in lines[::2]))
        levels = compare(options, ["--models", *models, "--seeds", "5"], options.output / f"steps-{steps}", prompts)
        rows = [next(level for level in levels if level["name"] == path.stem) for path in models]
        common.print_row(
            f"{steps} steps, guidance {guidance}",
            *(f"{row['velocityError']:.4f}, {row['psnr']['median']:.1f} dB" for row in rows))


def convert(options, output: pathlib.Path, *arguments):
    """Converts the shipped model, unless that was done."""
    if output.exists():
        return
    command = [options.program, "convert", MODEL, output, "--quiet", "--threads", options.threads, *arguments]
    subprocess.run([str(part) for part in command], check=True)


def main():
    parser = common.parser(__doc__)
    parser.add_argument("what", choices=["levels", "targets", "calibrated", "evidence"])
    parser.add_argument("--output", required=True, type=pathlib.Path, help="folder for results")
    parser.add_argument("--types", default=TYPES, help="types and mixes of levels")
    parser.add_argument("--mixes", default=MIXES, help="mixes whose sizes are aimed at")
    parser.add_argument("--activations", default="auto", help="auto, int8 or exact")
    parser.add_argument("--points", default="96", help="points that calibrated files are calibrated on")
    options = parser.parse_args()
    print(f"Command: `python {shlex.join(sys.argv)}`\n")
    actions = {"levels": levels, "targets": targets, "calibrated": calibrated, "evidence": evidence}
    actions[options.what](options)


if __name__ == "__main__":
    main()
