"""Runs every stage at toy size and checks what can be checked without a GPU: about a minute.

    python tools/training/check.py

A stopped and resumed training gives the rows and weights of an unbroken one; the export opens in diffusers and
draws; prompts are read back as they were meant; the scorer knows distorted drawings again.
"""

import contextlib
import io
import itertools
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

import torch

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "score")]

import captions
import optimizer
import train
from subjects import BACKGROUNDS, STYLES, SUBJECTS
from workspace import Collection, Workspace


def words(work: pathlib.Path, stage: str, *options: str) -> list[str]:
    """A command line of train.py at toy size."""
    return [stage, "--preset", "toy", "--work", str(work), "--threads", "1", "--device", "cpu", "--subjects", "4",
            "--scenes", "0.2", *options]


def run(work: pathlib.Path, stage: str, *options: str) -> None:
    """Runs a stage as the command line does, silently."""
    with contextlib.redirect_stdout(io.StringIO()):
        train.main(words(work, stage, *options))


def losses(work: pathlib.Path, name: str) -> list[dict]:
    """The rows of a training log without times."""
    rows = [json.loads(line) for line in (work / "checkpoints" / f"{name}.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "active_seconds"} for row in rows]


def same(first: dict, second: dict) -> bool:
    """Whether two checkpoints hold the same weights and averages."""
    pairs = [(first["module"][name], second["module"][name]) for name in first["module"]]
    return all(torch.equal(*pair) for pair in pairs + list(zip(first["average"], second["average"])))


def check_resume(work: pathlib.Path) -> None:
    """One run in one piece, one in several: the same in the end."""
    whole, broken = work / "whole", work / "broken"
    # How many steps at a time, and where that ends.
    stops = {
        "vae": ((5, "vae", 5),),
        "transformer": ((5, "reading", 5), (7, "transformer", 7), (5, "refinement", 5)),
    }
    for stage in ("data", "tokenizer", "vae", "latents", "transformer"):
        run(whole, stage)
        for count, name, step in stops.get(stage, ()):
            run(broken, stage, "--stop-after", str(count))
            assert torch.load(broken / "checkpoints" / f"{name}.pt", weights_only=True)["step"] == step, name
        run(broken, stage)
    for name in ("vae", "reading", "transformer", "refinement"):
        assert losses(whole, name) == losses(broken, name), f"{name}: losses differ after a stop"
        states = [torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True) for folder in (whole, broken)]
        assert same(*states), f"{name}: weights differ after a stop"
    check_frozen(whole)
    print("resume: same losses and weights")


def check_frozen(work: pathlib.Path) -> None:
    """The text encoder is what the reading left: its average."""
    from safetensors.torch import load_file

    averages = torch.load(work / "checkpoints" / "reading.pt", weights_only=True)["average"]
    for name, tensor in load_file(work / "denoiser" / "text_encoder" / "model.safetensors").items():
        assert any(torch.equal(tensor, average) for average in averages if average.shape == tensor.shape), name


def check_signal(work: pathlib.Path) -> None:
    """SIGTERM during training saves and ends with 143."""
    folder = work / "whole"
    for name in ("transformer.pt", "transformer.jsonl", "refinement.pt", "refinement.jsonl"):
        (folder / "checkpoints" / name).unlink()
    command = [sys.executable, FOLDER / "train.py", *words(folder, "transformer")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    log = folder / "checkpoints" / "transformer.jsonl"
    while not log.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    step = torch.load(folder / "checkpoints" / "transformer.pt", weights_only=True)["step"]
    # A machine so fast that the run was over before the signal came is no failure.
    assert code in (0, -signal.SIGTERM) and step == 12 or code == 128 + signal.SIGTERM, (code, step)
    run(folder, "transformer")
    print(f"signal: saved at step {step}")


def check_export(work: pathlib.Path) -> None:
    """diffusers opens and runs the folder, gguf-py reads the file, the scorer scores the pictures."""
    folder = work / "whole"
    run(folder, "export")
    run(folder, "score", "--prompts", "4")
    from diffusers import AuraFlowPipeline
    from gguf import GGUFReader

    pipeline = AuraFlowPipeline.from_pretrained(folder / "pipeline")
    for name, parameter in pipeline.transformer.named_parameters():
        if "blocks" in name and parameter.dim() == 2:
            assert parameter.shape[1] % 256 == 0, f"{name}: input width {parameter.shape[1]}"
    assert {"init_x_linear.weight", "vae.decoder.conv_out.weight", "enc.output_norm.weight"} <= {
        tensor.name for tensor in GGUFReader(folder / "export" / "model.gguf").tensors
    }
    summary = json.loads((folder / "score" / "summary.json").read_text())
    assert summary["all"]["pictures"] == 4
    print("export: opens in diffusers, gguf-py and the scorer")


def check_adapter(work: pathlib.Path) -> None:
    """A stopped and resumed adapter is that of an unbroken run; diffusers takes it, and its picture changes."""
    from diffusers import AuraFlowPipeline
    from safetensors.torch import load_file

    folder = work / "whole"
    file = folder / "adapter" / "porcelain.safetensors"
    results = []
    for stops in ((), ("3",)):
        for count in stops:
            run(folder, "adapter", "--stop-after", count)
        run(folder, "adapter")
        results.append(load_file(file))
        (folder / "checkpoints" / "adapter.pt").unlink()
    assert results[0].keys() == results[1].keys() and len(results[0]) == 2 * 7 * 2
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
    pipeline = AuraFlowPipeline.from_pretrained(folder / "pipeline", dtype=torch.float32)
    pipeline.load_lora_weights(file)
    assert len(pipeline.transformer.peft_config["default_0"].target_modules) == 2 * 7
    numbers = json.loads((folder / "adapter" / "numbers.json").read_text())
    assert all(0 < value < 10 for value in numbers["loss_on_unseen"].values()), numbers
    print("adapter: same after a stop, opens in diffusers")


def bare(template: str) -> str:
    """The template without articles."""
    return " ".join(re.sub(r"\b(an?|the)\b", " ", template.replace("{a_", "{")).split())


def check_captions() -> None:
    """Every template is read back; no wording of the reading may be held out; held-out words are known words; the same
    seed holds out the same."""
    generator = random.Random(1)
    for template in captions.TEMPLATES + captions.PLAIN_TEMPLATES + captions.READING_TEMPLATES:
        for subject in SUBJECTS:
            background = "white" if template in captions.PLAIN_TEMPLATES else generator.choice(list(BACKGROUNDS))
            style = generator.choice(("", *STYLES.values()))
            text = captions.fill(template, captions.subject_words(subject, generator), background)
            text = captions.written_freely(captions.with_style(text, style, generator), generator)
            found = captions.parse(text, SUBJECTS, STYLES.values())
            assert found == captions.Request((subject.key,), background, style), (text, found)
    for _ in range(500):
        left, right = generator.sample(SUBJECTS, 2)
        text = captions.scene_caption(left, right, "green", "", generator)
        found = captions.parse(text, SUBJECTS)
        assert found == captions.Request((left.key, right.key), "green"), (text, found)
    assert not set(map(bare, captions.READING_TEMPLATES)) & set(map(bare, captions.TEMPLATES))
    held = captions.held_out_templates(0)
    assert held == captions.held_out_templates(0) and len(held) == 5
    styles = [captions.held_out_styles(subject, STYLES.values(), 0) for subject in SUBJECTS]
    assert {len(names) for names in styles} == {0, 1}
    assert not any(captions.held_out_styles(subject, ("noto", "pixel"), 0) for subject in SUBJECTS)
    print("captions: read back as meant")


def check_held_out(work: pathlib.Path) -> None:
    """No training batch holds a pair that is held out, and no scene does."""
    import stage_transformer
    from stage_tokenizer import Encoder

    workspace = Workspace(work / "whole")
    collection = Collection(workspace)
    samples = stage_transformer.Samples(workspace, collection, Encoder(workspace), torch.device("cpu"))
    assert any(item.held_out for item in collection.singles)
    assert not any(samples.items[place].held_out for place in samples.singles)
    for item in collection.scenes:
        keys = [collection.drawings[index].subject.key for index in item.drawings]
        assert not any(single.held_out and single.background == item.background
                       and collection.drawings[single.drawings[0]].subject.key in keys for single in collection.singles)
    print("held out: not among the samples")


def check_reading(work: pathlib.Path) -> None:
    """Captions to read come with the right answers, and with nothing that is held out."""
    from reading import Reading
    from stage_tokenizer import Encoder

    workspace = Workspace(work / "whole")
    collection = Collection(workspace)
    reading = Reading(collection, Encoder(workspace), torch.device("cpu"))
    held_out = {(collection.drawings[item.drawings[0]].subject.key, item.background)
                for item in collection.singles if item.held_out}
    known = [drawing.subject for drawing in collection.drawings]
    texts, answers = reading.batch(600, "check")
    unknown = 0
    for text, row in zip(texts, answers.tolist()):
        named = {kind: reading.classes[kind][place] for kind, place in zip(reading.classes, row) if place >= 0}
        subjects = tuple(named[kind] for kind in ("subject", "right") if kind in named)
        unknown += not subjects
        found = captions.parse(text, known)
        # What colour belongs to a thing that is not known cannot be told.
        assert found.subjects == subjects and (not subjects or found.background == named["background"]), (text, named)
        assert not any((subject, named["background"]) in held_out for subject in subjects), text
    assert 150 < unknown < 300, unknown
    # A held-out background costs nothing beside its subject, on either side: the loss does not depend on that score.
    subject, background = reading.held_out["subject", "background"][:-1, :-1].nonzero()[0].tolist()
    free = (~reading.held_out["subject", "background"][:-1, :-1].any(0)).nonzero()[0, 0].item()
    scores = torch.zeros(2, sum(map(len, reading.classes.values())))
    right = torch.tensor([[free, subject, -100, -100], [free, subject, subject, -100]])
    before = reading.loss(scores, right)[0]
    scores[:, background] = 9
    assert torch.equal(reading.loss(scores, right)[0], before)
    scores[:, free] = 9
    assert reading.loss(scores, right)[0] < before
    print("reading: right answers, nothing held out")


def check_optimizer() -> None:
    """Orthogonalized matrices have singular values near 1 and the vectors of the original."""
    torch.manual_seed(0)
    functions = (optimizer.orthogonalized, optimizer.orthogonalized_bfloat16)
    for orthogonalized, shape in itertools.product(functions, ((2, 32, 96), (1, 96, 32))):
        matrices = torch.randn(shape)
        found = orthogonalized(matrices)
        values = torch.linalg.svdvals(found)
        assert 0.6 < values.min() and values.max() < 1.3, values
        left, _, right = torch.linalg.svd(matrices, full_matrices=False)
        # The original's singular vectors, each scaled to near 1.
        assert (left.mT @ found @ right.mT).diagonal(dim1=1, dim2=2).min() > 0.5
    print("optimizer: orthogonal directions")


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    check_captions()
    check_optimizer()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        check_resume(work)
        check_held_out(work)
        check_reading(work)
        check_signal(work)
        check_export(work)
        check_adapter(work)
    print("all checks passed")


if __name__ == "__main__":
    main()
