"""Trains a small AuraFlow model: drawings in, one GGUF file out. One command per stage.

    python tools/training/train.py all --preset cpu --work training        # everything, two cores: 1 to 3.2 hours
    python tools/training/train.py vae --preset cpu --work training        # or stage by stage

Stages, in order:
  data         collect drawings, decide what is held out of training
  tokenizer    train SentencePiece on captions
  vae          train the autoencoder
  latents      encode all pictures once
  transformer  train the text encoder to read, then the transformer
  export       diffusers folder (F16), GGUF, contact sheet, numbers for the model card
  score        200 test prompts: draw them, say how many have the right subject and background

Not part of `all`:
  adapter      teach the exported pipeline a style, by a small adapter (LoRA)

A stage that is stopped (Ctrl-C, SIGTERM, a crash) goes on from its last checkpoint when the same command runs again.
A stage that is finished is not run again by `all`; run it by its own name to repeat it, after removing its files in
WORK/checkpoints to train anew. After a new autoencoder remove WORK/denoiser and the checkpoints of transformer and
refinement too. tools/training/README.md explains each stage with its inputs, outputs and cost.
"""

import argparse
import os
import pathlib
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import torch

import drawings
from presets import PRESETS, Preset
from subjects import STYLES
from workspace import Workspace

STAGES = ("data", "tokenizer", "vae", "latents", "transformer", "export", "score")
EXTRAS = ("adapter",)  # That `all` leaves out.


def positive(text: str) -> int:
    """A whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {text}")
    return value


def arguments_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("all", *STAGES, *EXTRAS))
    parser.add_argument("--preset", choices=PRESETS, default="cpu", help="sizes and schedules of presets.py")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder for everything that is made")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches, captions and what is held out")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads (default: all)")
    parser.add_argument(
        "--precision", choices=("auto", "float32", "bfloat16"), default="auto",
        help="of the transformer's products in training (default: bfloat16 where the device is faster at it)",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--start", type=pathlib.Path, metavar="FOLDER",
        help="diffusers folder whose weights to begin with, where names and shapes agree; parts that it lacks begin "
        "from scratch (default: all)",
    )
    parser.add_argument(
        "--steps", type=positive,
        help="of the runs `transformer` and `adapter`, for example fewer after --start (default: the preset's)",
    )
    parser.add_argument(
        "--stop-after", type=positive, metavar="STEPS",
        help="save and end after so many steps of a training run (the stage transformer has three)",
    )
    data = parser.add_argument_group("stage data")
    data.add_argument("--font", type=pathlib.Path, default=drawings.FONT, help="colour emoji font to draw with")
    data.add_argument("--icons", type=pathlib.Path, metavar="DIR", help="images128.npz and captions.jsonl instead")
    data.add_argument("--styles", nargs="+", choices=STYLES, help="styles of --icons to learn (default: all)")
    data.add_argument("--every-subject", action="store_true", help="all subjects of --icons, not just the usual ones")
    data.add_argument("--subjects", type=int, help="only the first so many subjects")
    data.add_argument(
        "--scenes", type=float, default=0.0, metavar="FRACTION",
        help='this part of all training pictures shows two subjects ("a cat left of an apple")',
    )
    score = parser.add_argument_group("stage score")
    score.add_argument("--prompts", type=int, default=200, help="number of test prompts")
    return parser


def is_finished(stage: str, workspace: Workspace) -> bool:
    """Whether the stage has left its last output; of export and score, after what they read was made."""
    last = {
        "data": workspace.manifest, "tokenizer": workspace.tokenizer / "lengths.json",
        "vae": workspace.autoencoder / "comparison.png", "latents": workspace.latents,
        "transformer": workspace.denoiser / "text_encoder" / "model.safetensors",
        "export": workspace.export / "numbers.json", "score": workspace.score / "summary.json",
        "adapter": workspace.adapter / "numbers.json",
    }
    read = {"export": ("vae", "transformer"), "score": ("export",)}.get(stage, ())
    return last[stage].exists() and all(
        last[name].exists() and last[name].stat().st_mtime <= last[stage].stat().st_mtime for name in read
    )


def run_stage(stage: str, workspace: Workspace, preset: Preset, arguments: argparse.Namespace) -> None:
    """Runs one stage. Each is imported when it is needed, for none needs all packages."""
    device = torch.device(arguments.device)
    if stage == "data":
        import stage_data

        stage_data.run(workspace, arguments)
    elif stage == "tokenizer":
        import stage_tokenizer

        stage_tokenizer.run(workspace, preset.transformer, arguments)
    elif stage == "vae":
        import stage_vae

        stage_vae.run(workspace, preset, device, arguments)
    elif stage == "latents":
        import stage_latents

        stage_latents.run(workspace, device)
    elif stage == "transformer":
        import stage_transformer

        stage_transformer.run(workspace, preset, device, arguments)
    elif stage == "export":
        import stage_export

        stage_export.run(workspace, preset, arguments)
    elif stage == "adapter":
        import stage_adapter

        stage_adapter.run(workspace, preset, device, arguments)
    else:
        import stage_score

        stage_score.run(workspace, arguments)


def main(words: list[str] | None = None) -> None:
    """Runs what the command line, or `words` instead, asks for."""
    arguments = arguments_parser().parse_args(words)
    torch.set_num_threads(arguments.threads)
    if torch.device(arguments.device).type == "cuda":
        torch.set_float32_matmul_precision("high")
    workspace = Workspace(arguments.work)
    for stage in STAGES if arguments.stage == "all" else (arguments.stage,):
        if arguments.stage == "all" and is_finished(stage, workspace):
            print(f"{stage}: finished before", flush=True)
            continue
        print(f"{stage}:", flush=True)
        run_stage(stage, workspace, PRESETS[arguments.preset], arguments)
        if arguments.stop_after is not None and not is_finished(stage, workspace):
            return


if __name__ == "__main__":
    main()
