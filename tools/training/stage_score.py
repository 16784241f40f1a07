"""Stage `score`: draws the test prompts with diffusers and says how many pictures are right."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

from stage_tokenizer import Encoder
from workspace import Workspace

SCORER = pathlib.Path(__file__).resolve().parents[1] / "score" / "score.py"


def run(workspace: Workspace, arguments: argparse.Namespace) -> None:
    """Writes score/: prompts.jsonl, pictures, accuracy.json of the scorer, scores.csv and summary.json."""
    workspace.needs(workspace.pipeline, "export")
    workspace.score.mkdir(parents=True, exist_ok=True)
    data, prompts = workspace.manifest.parent, workspace.score / "prompts.jsonl"
    pictures = workspace.score / "pictures"
    # Pictures of an earlier model do not count for this one.
    newest = (workspace.pipeline / "model_index.json").stat().st_mtime
    for picture in pictures.glob("*.png"):
        if picture.stat().st_mtime < newest:
            picture.unlink()
    before = prompts.read_text().splitlines() if prompts.exists() else []
    _score("prompts", "--data", data, "--output", prompts, "--count", arguments.prompts, threads=arguments.threads)
    # Nor do those of other prompts.
    for row in set(before) - set(prompts.read_text().splitlines()):
        (pictures / json.loads(row)["file"]).unlink(missing_ok=True)
    _score(
        "draw", prompts, pictures, "--pipeline", workspace.pipeline, "--tokens", Encoder(workspace).tokens,
        "--threads", arguments.threads, threads=arguments.threads,
    )
    _score(
        "accuracy", "--data", data, "--vae", workspace.autoencoder, "--output", workspace.score / "accuracy.json",
        threads=arguments.threads,
    )
    _score("score", prompts, pictures, "--data", data, "--output", workspace.score, threads=arguments.threads)
    _note_seconds(workspace)


def _score(*words, threads: int) -> None:
    """One command of the scorer."""
    command = [sys.executable, SCORER, *(str(word) for word in words)]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)})


def _note_seconds(workspace: Workspace) -> None:
    """Prints the result beside the training time it took."""
    summary = json.loads((workspace.score / "summary.json").read_text())
    numbers = json.loads((workspace.export / "numbers.json").read_text())
    seconds = sum(row["active_seconds"] for row in numbers["training"].values())
    print(f"after {seconds / 60:.0f} minutes of training: {json.dumps(summary['all'])}")
