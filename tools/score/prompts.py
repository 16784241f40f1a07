"""Test prompts from a data manifest: what training saw, what it never saw together, and wordings it never read."""

import random
from collections.abc import Iterator

from references import Drawing

from captions import fill, scene_caption, subject_words, with_style

SCENES = 40


def make(manifest: dict, references: list[Drawing], count: int, seed: int) -> list[dict]:
    """`count` prompts, as rows of a JSONL file: half as trained, half with something held out, in equal parts: pairs of
    subject and background, wordings and, where the model knows several, pairs of subject and style. And 40 scenes, if
    the model learned them.

    A row holds file, prompt, seed, kind, subjects (left to right), background and style.
    """
    generator = random.Random(f"{seed}/prompts")
    held = {row["subject"]: row["backgrounds"] for row in manifest["held_out"]}
    held_styles = {(row["subject"], style) for row in manifest["held_out"] for style in row["styles"]}
    unseen = [drawing for drawing in references if (drawing.subject.key, drawing.style) in held_styles]
    seen = [drawing for drawing in references if (drawing.subject.key, drawing.style) not in held_styles]
    orders = {"style": _cycle(unseen, generator)}
    order = _cycle(seen, generator)
    kinds = ("trained", "pair", "trained", "wording") + (("trained", "style") if unseen else ())
    rows = []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        drawing = next(orders.get(kind, order))
        refused = held[drawing.subject.key]
        allowed = [name for name in manifest["backgrounds"] if name not in refused]
        background = generator.choice(refused if kind == "pair" else allowed)
        templates = manifest["held_out_templates" if kind == "wording" else "templates"]
        text = fill(generator.choice(templates), subject_words(drawing.subject, generator), background)
        rows.append(_row(len(rows), with_style(text, drawing.style, generator), kind, [drawing], background))
    for _ in range(SCENES if manifest["scenes"] else 0):
        left, right = _pair(references, generator)
        background = generator.choice(list(manifest["backgrounds"]))
        text = scene_caption(left.subject, right.subject, background, left.style, generator)
        rows.append(_row(len(rows), text, "scene", [left, right], background))
    return rows


def _row(index: int, prompt: str, kind: str, drawn: list[Drawing], background: str) -> dict:
    return {
        "file": f"{index:03}.png", "prompt": prompt, "seed": index, "kind": kind,
        "subjects": [drawing.subject.key for drawing in drawn], "background": background, "style": drawn[0].style,
    }


def _cycle(references: list[Drawing], generator: random.Random) -> Iterator[Drawing]:
    """All references in random order, again and again, so that each is asked for about as often."""
    while True:
        yield from generator.sample(references, len(references))


def _pair(references: list[Drawing], generator: random.Random) -> tuple[Drawing, Drawing]:
    """Two subjects in one style."""
    left = generator.choice(references)
    others = [r for r in references if r.style == left.style and r.subject.key != left.subject.key]
    return left, generator.choice(others)
