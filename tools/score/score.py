"""Says whether pictures show the subject and the background that their prompts ask for.

    python tools/score/score.py prompts --data WORK/data --output prompts.jsonl      # make test prompts
    python tools/score/score.py draw prompts.jsonl PICTURES --pipeline WORK/pipeline # draw them with diffusers
    python tools/score/score.py draw prompts.jsonl PICTURES --program .build/release/auraflow --model model.gguf
    python tools/score/score.py score prompts.jsonl PICTURES --data WORK/data        # scores.csv, summary.json
    python tools/score/score.py accuracy --data WORK/data --vae WORK/vae             # how far the scores can be trusted

`score` needs a JSONL file with a row per picture: file and prompt, e.g. {"file": "1.png", "prompt": "a cat on red"}.
What a prompt asks for is read from it, in any word order, unless the row says so itself: subjects (left to right),
background, style. A subject is right when its reference drawing is the closest of all to the picture, a background
when its colour is the closest of all to the picture's rim.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys

from PIL import Image

import prompts
import references
from matching import Match, Matcher, nearest_background, rim_colour, sharpness

from captions import Request, parse
from subjects import BACKGROUNDS

COLUMNS = (
    "file", "prompt", "kind", "subject_expected", "subject_found", "subject_right", "subject_among_five",
    "background_expected", "background_found", "background_right", "style_expected", "style_found", "style_right",
    "similarity", "margin", "sharpness",
)
KINDS = ("trained", "pair", "style", "wording")


def read_rows(path: pathlib.Path) -> list[dict]:
    """The rows of a JSONL file, checked."""
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            row = json.loads(line)
            rows.append(row | {"file": str(row["file"]), "prompt": str(row["prompt"])})
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f'{path}:{number}: expected {{"file": ..., "prompt": ...}}: {error}') from None
    if not rows:
        raise SystemExit(f"{path}: no rows")
    return rows


def make_prompts(arguments: argparse.Namespace) -> None:
    """Writes test prompts."""
    manifest = references.read_manifest(arguments.data)
    rows = prompts.make(manifest, references.load(arguments), arguments.count, arguments.seed)
    arguments.output.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{arguments.output}: {len(rows)} prompts")


def draw(arguments: argparse.Namespace) -> None:
    """Draws the prompts whose pictures are missing."""
    rows = [row for row in read_rows(arguments.prompts) if not (arguments.pictures / row["file"]).exists()]
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    if arguments.pipeline:
        import stage_export
        import torch

        torch.set_num_threads(arguments.threads)
        pipeline = stage_export.load_pipeline(arguments.pipeline)
        for row in rows:
            picture = stage_export.draw(pipeline, row["prompt"], row.get("seed", 0), arguments.tokens)
            picture.save(arguments.pictures / row["file"])
    else:
        for row in rows:
            command = [arguments.program, "generate", "--model", arguments.model, "--prompt", row["prompt"], "--seed",
                       str(row.get("seed", 0)), "--output", arguments.pictures / row["file"], "--quiet"]
            subprocess.run(command, check=True)
    print(f"{arguments.pictures}: {len(rows)} pictures drawn")


def score(arguments: argparse.Namespace) -> None:
    """Writes scores.csv and summary.json beside the prompts, or where --output says."""
    drawings = references.load(arguments)
    matcher = Matcher(drawings)
    results = [_result(row, arguments.pictures, matcher) for row in read_rows(arguments.prompts)]
    folder = arguments.output or arguments.pictures
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "scores.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(results)
    summary = summarize(results)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    for kind, row in summary.items():
        print(f"{kind:8} " + ", ".join(f"{name} {value}" for name, value in row.items()))


def expected(row: dict, drawings: list[references.Drawing]) -> Request:
    """What a row asks for: its own fields, or else what its prompt says."""
    styles = {drawing.style for drawing in drawings} - {""}
    read = parse(row["prompt"], {drawing.subject for drawing in drawings}, styles)
    request = Request(
        tuple(row.get("subjects", read.subjects)), row.get("background", read.background), row.get("style", read.style)
    )
    if not 1 <= len(request.subjects) <= 2:
        count = len(request.subjects)
        raise SystemExit(f'{row["file"]}: "{row["prompt"]}" names {count} known subjects, expected 1 or 2')
    return request


def _result(row: dict, folder: pathlib.Path, matcher: Matcher) -> dict:
    """The row of scores.csv for one picture."""
    request = expected(row, matcher.references)
    path = folder / row["file"]
    if not path.exists():
        raise SystemExit(f"{path}: missing, though {row['prompt']!r} is listed")
    picture = Image.open(path)
    is_scene = len(request.subjects) == 2
    matches: tuple[Match, ...] = matcher.find_halves(picture) if is_scene else (matcher.find(picture),)
    found = [match.drawing.subject.key for match in matches]
    background = nearest_background(rim_colour(picture), BACKGROUNDS)
    style = matches[0].drawing.style
    return {
        "file": row["file"], "prompt": row["prompt"], "kind": row.get("kind", "scene" if is_scene else ""),
        "subject_expected": " | ".join(request.subjects), "subject_found": " | ".join(found),
        "subject_right": int(list(request.subjects) == found),
        "subject_among_five": int(all(key in match.nearest for key, match in zip(request.subjects, matches))),
        "background_expected": request.background or "", "background_found": background,
        "background_right": int(request.background == background),
        "style_expected": request.style, "style_found": style,
        "style_right": int(not request.style or all(match.drawing.style == request.style for match in matches)),
        "similarity": round(min(match.similarity for match in matches), 4),
        "margin": round(min(match.margin for match in matches), 4),
        "sharpness": "" if is_scene else round(sharpness(picture, matches[0].drawing, BACKGROUNDS[background]), 4),
    }


def summarize(results: list[dict]) -> dict[str, dict]:
    """Counts and shares over all single pictures, over each kind of them, and over scenes apart."""
    groups = {"all": [row for row in results if row["kind"] != "scene"]}
    groups |= {kind: [row for row in results if row["kind"] == kind] for kind in (*KINDS, "scene")}
    return {name: _counts(rows) for name, rows in groups.items() if rows}


def _counts(rows: list[dict]) -> dict:
    """How many of the rows are right, and the means of what is measured."""
    counts: dict = {"pictures": len(rows)}
    for what in ("subject", "background", "style"):
        if what != "style" or any(row["style_expected"] for row in rows):
            right = [row[f"{what}_right"] for row in rows]
            counts |= {f"{what}_right": sum(right), f"{what}_percent": _percent(right)}
        if what == "subject":
            counts["subject_among_five_percent"] = _percent(row["subject_among_five"] for row in rows)
    for what in ("similarity", "sharpness"):
        values = [row[what] for row in rows if row[what] != ""]
        if values:
            counts[what] = round(sum(values) / len(values), 3)
    return counts


def _percent(values) -> float:
    values = list(values)
    return round(100 * sum(values) / len(values), 1)


def accuracy(arguments: argparse.Namespace) -> None:
    """Scores pictures whose answers are known: distorted references, pairs of them, reconstructed ones with --vae."""
    drawings = references.load(arguments)
    matcher = Matcher(drawings)
    report = {"distorted": _known(matcher, references.distorted(drawings, arguments.copies, arguments.seed))}
    if len(drawings) > 1:
        pairs = references.scenes(drawings, len(drawings), arguments.seed)
        found = [tuple(match.drawing.subject for match in matcher.find_halves(pair.picture)) for pair in pairs]
        right = [subjects == (pair.left.subject, pair.right.subject) for subjects, pair in zip(found, pairs)]
        report["scenes"] = {"pictures": len(pairs), "subjects_percent": _percent(right)}
    if arguments.vae:
        made = references.reconstructed(drawings, arguments.vae, arguments.seed)
        report["reconstructed"] = _known(matcher, made)
    for name, row in report.items():
        print(name, json.dumps(row))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


def _known(matcher: Matcher, made: list[references.Known]) -> dict:
    """Shares of right answers, and the first wrong ones."""
    found = [matcher.find(known.picture).drawing for known in made]
    rims = [nearest_background(rim_colour(known.picture), BACKGROUNDS) == known.background for known in made]
    right = [drawing.subject.key == known.drawing.subject.key for drawing, known in zip(found, made)]
    shares = {"pictures": len(made), "subject_percent": _percent(right), "background_percent": _percent(rims)}
    if any(drawing.style for drawing in matcher.references):
        shares["style_percent"] = _percent(d.style == known.drawing.style for d, known in zip(found, made))
    wrong = [f"{known.drawing.subject.key} on {known.background}: {drawing.subject.key}"
             for drawing, known, is_right in zip(found, made, right) if not is_right]
    return shares | {"wrong": wrong[:20]}


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = result.add_subparsers(dest="command", required=True)
    command = commands.add_parser("prompts", help="write test prompts for a model trained on --data")
    command.add_argument("--data", type=pathlib.Path, required=True, metavar="DIR", help="WORK/data")
    command.add_argument("--output", type=pathlib.Path, required=True)
    command.add_argument("--count", type=int, default=200)
    command.add_argument("--seed", type=int, default=0)
    command.set_defaults(run=make_prompts)
    command = commands.add_parser("draw", help="draw the prompts that have no picture yet")
    command.add_argument("prompts", type=pathlib.Path)
    command.add_argument("pictures", type=pathlib.Path)
    how = command.add_mutually_exclusive_group(required=True)
    how.add_argument("--pipeline", type=pathlib.Path, help="diffusers folder")
    how.add_argument("--program", type=pathlib.Path, help="the auraflow program, with --model")
    command.add_argument("--model", type=pathlib.Path, help="model file for --program")
    command.add_argument("--tokens", type=int, default=16, help="sequence length for --pipeline")
    command.add_argument("--threads", type=int, default=2)
    command.set_defaults(run=draw)
    command = commands.add_parser("score", help="compare pictures with what their prompts ask for")
    command.add_argument("prompts", type=pathlib.Path)
    command.add_argument("pictures", type=pathlib.Path)
    command.add_argument("--output", type=pathlib.Path, help="folder of scores.csv and summary.json")
    references.add_arguments(command)
    command.set_defaults(run=score)
    command = commands.add_parser("accuracy", help="score reference drawings with known answers")
    command.add_argument("--vae", type=pathlib.Path, help="also what this autoencoder makes of them")
    command.add_argument("--copies", type=int, default=4, help="distorted copies of each reference")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--output", type=pathlib.Path, help="report as JSON")
    references.add_arguments(command)
    command.set_defaults(run=accuracy)
    return result


def main() -> None:
    arguments = parser().parse_args()
    if arguments.command == "draw" and arguments.program and not arguments.model:
        sys.exit("draw: --program needs --model FILE")
    arguments.run(arguments)


if __name__ == "__main__":
    main()
