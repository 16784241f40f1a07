"""Stage `data`: collects the drawings and decides, by a fixed rule, what is held out of training."""

import argparse
import random

import drawings
from captions import TEMPLATES, held_out_backgrounds, held_out_styles, held_out_templates
from subjects import BACKGROUNDS, STYLES, SUBJECTS
from workspace import Workspace, write_json

SCENES_PER_DRAWING = 20  # Pictures of two subjects, when they are asked for.


def run(workspace: Workspace, arguments: argparse.Namespace) -> None:
    """Writes data/drawings.npz and data/manifest.json."""
    workspace.manifest.parent.mkdir(parents=True, exist_ok=True)
    found = _collected(arguments)
    records = drawings.save(found, workspace.archive)
    subjects = list({drawing.subject.key: drawing.subject for drawing in found}.values())
    held = held_out_templates(arguments.seed)
    styles: dict[str, set[str]] = {}
    for drawing in found:
        styles.setdefault(drawing.subject.key, set()).add(drawing.style)
    held_out = [
        {
            "subject": subject.key,
            "backgrounds": held_out_backgrounds(subject, BACKGROUNDS, arguments.seed),
            "styles": held_out_styles(subject, styles[subject.key], arguments.seed),
        }
        for subject in subjects
    ]
    manifest = {
        "source": str(arguments.icons.name) if arguments.icons else arguments.font.name,
        "seed": arguments.seed,
        "backgrounds": BACKGROUNDS,
        "styles": sorted({drawing.style for drawing in found} - {""}),
        "templates": [template for template in TEMPLATES if template not in held],
        "held_out_templates": held,
        "held_out": held_out,
        "scene_fraction": arguments.scenes,
        "scenes": _scenes(found, held_out, arguments.seed) if arguments.scenes > 0 else [],
        "drawings": records,
    }
    write_json(workspace.manifest, manifest)
    pairs, styled = (sum(len(row[what]) for row in held_out) for what in ("backgrounds", "styles"))
    print(
        f"{len(found)} drawings of {len(subjects)} subjects on {len(BACKGROUNDS)} backgrounds; "
        f"held out: {pairs} pairs of subject and background, {styled} of subject and style, {len(held)} of "
        f"{len(TEMPLATES)} wordings; "
        f"{len(manifest['scenes'])} scenes"
    )


def _collected(arguments: argparse.Namespace) -> list[drawings.Drawing]:
    """The drawings of the source that was asked for."""
    if arguments.icons is None:
        return drawings.from_font(SUBJECTS[: arguments.subjects], arguments.font)
    found = drawings.from_icons(arguments.icons, arguments.every_subject)
    chosen = {STYLES.get(style, style) for style in arguments.styles or []}
    found = [drawing for drawing in found if not chosen or drawing.style in chosen]
    keys = list(dict.fromkeys(drawing.subject.key for drawing in found))[: arguments.subjects]
    if not keys:
        raise SystemExit(f"{arguments.icons}: no drawing in the styles {', '.join(sorted(chosen))}")
    return [drawing for drawing in found if drawing.subject.key in set(keys)]


def _scenes(found: list[drawings.Drawing], held_out: list[dict], seed: int) -> list[dict]:
    """Random pairs of different subjects in one style, each on a random background; nothing that is held out."""
    generator = random.Random(f"{seed}/scenes")
    held = {row["subject"]: row for row in held_out}
    by_style: dict[str, list[int]] = {}
    for index, drawing in enumerate(found):
        if drawing.style not in held[drawing.subject.key]["styles"]:
            by_style.setdefault(drawing.style, []).append(index)
    by_style = {style: indices for style, indices in by_style.items() if len(indices) > 1}
    if not by_style:
        raise SystemExit("--scenes: needs two subjects in one style")
    scenes = []
    while len(scenes) < SCENES_PER_DRAWING * len(found):
        left, right = generator.sample(by_style[generator.choice(sorted(by_style))], 2)
        refused = {name for index in (left, right) for name in held[found[index].subject.key]["backgrounds"]}
        background = generator.choice([name for name in BACKGROUNDS if name not in refused])
        scenes.append({"drawings": [left, right], "background": background})
    return scenes
