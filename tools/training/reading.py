"""How the text encoder learns to read, before pictures are learned with what it says.

Pictures alone teach words badly. A subject's usual colour, or the backgrounds it is never shown on, predict the
background nearly as well as the caption's grammar, until a prompt asks for what was never seen together. So one linear
layer reads background and subject (and style, and the second subject of a scene) from the last token's state. Two
things are kept from it:

* What is held out. Such a background does not count as wrong for its subject, nor the subject for the background; it
  would learn "never" otherwise. The same holds for styles.
* The names, in half of the captions of one subject. These speak of things that no drawing shows, in colours of all
  kinds, so that only the words around them tell the background.
"""

import random
import re
import unicodedata

import torch
from torch.nn.functional import cross_entropy

from captions import READING_TEMPLATES, caption
from stage_tokenizer import Encoder
from subjects import BACKGROUNDS, SUBJECTS, Subject
from workspace import Collection, Item

_MADE_UP = 0.5  # Of the captions of one subject.
_SCENES = 0.25  # Of all captions, where pictures of two subjects are trained on.
_LONGEST_NAME = 8  # In tokens, with that of the end.
_ATTEMPTS = 20
_NOTHING = -100  # The answer where the caption names nothing that a drawing shows.
_COLOURS = sorted(({subject.colour for subject in SUBJECTS} | set(BACKGROUNDS)) - {""})


class Reading:
    """Captions with what they name, and the loss of reading them.

    `classes` holds what can be asked for, with the possible answers: backgrounds, subjects, for scenes the subject on
    the right, and styles where there are several.
    """

    def __init__(self, collection: Collection, encoder: Encoder, device: torch.device):
        self.collection, self.encoder, self.device = collection, encoder, device
        self.items = [item for item in collection.singles if not item.held_out]
        subjects = {drawing.subject.key: drawing.subject for drawing in collection.drawings}
        self.names = unknown_names(encoder, list(subjects.values()))
        self.templates = [*collection.templates, *READING_TEMPLATES]
        styles = collection.manifest["styles"]
        self.classes = {
            "background": list(collection.backgrounds), "subject": list(subjects),
            "right": list(subjects) if collection.scenes else [], "style": styles if len(styles) > 1 else [],
        }
        self.places = {kind: {name: place for place, name in enumerate(names)} for kind, names in self.classes.items()}
        self.held_out = {
            (first, second): self._table(first, second).to(device)
            for first, second in (("subject", "background"), ("right", "background"), ("subject", "style"))
        }

    def _table(self, first: str, second: str) -> torch.Tensor:
        """Whether a subject is never trained on with a background or style: bool [subjects + 1, others + 1]; the last
        row and column, which are of no answer, hold nothing."""
        table = torch.zeros(len(self.classes[first]) + 1, len(self.classes[second]) + 1, dtype=torch.bool)
        for row in self.collection.manifest["held_out"] if self.classes[first] and self.classes[second] else ():
            for name in row[f"{second}s"]:
                table[self.places[first][row["subject"]], self.places[second][name]] = True
        return table

    def reader(self, width: int) -> torch.nn.Linear:
        """The layer that reads the last token's state [n, width]: scores of all classes."""
        layer = torch.nn.Linear(width, sum(map(len, self.classes.values())))
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        return layer

    def batch(self, count: int, seed: str) -> tuple[list[str], torch.Tensor]:
        """`count` captions, and the numbers of their right answers [count, classes]."""
        draw = random.Random(seed)
        scenes = self.collection.scenes
        rows = [
            self._read(draw.choice(scenes if scenes and draw.random() < _SCENES else self.items), draw)
            for _ in range(count)
        ]
        return [row[0] for row in rows], torch.tensor([row[1] for row in rows], device=self.device)

    def _read(self, item: Item, draw: random.Random) -> tuple[str, list[int]]:
        """A caption of the item, or of a thing that no drawing shows in its place, and the answers."""
        shown = [self.collection.drawings[place] for place in item.drawings]
        answers = {"background": item.background, "style": shown[0].style}
        is_made_up = len(shown) == 1 and self.names and draw.random() < _MADE_UP
        if not is_made_up:
            answers |= {kind: drawing.subject.key for kind, drawing in zip(("subject", "right"), shown)}
        for _ in range(_ATTEMPTS):
            if len(shown) == 2:
                text = self.collection.caption(item, draw)
            else:
                subject = shown[0].subject
                if is_made_up:
                    subject = Subject("", draw.choice(self.names), draw.choice(_COLOURS))
                text = caption(subject, item.background, shown[0].style, self.templates, draw)
            if self.encoder.length(text) <= self.encoder.tokens:  # Else its end, and perhaps an answer, is cut off.
                break
        return text, [self.places[kind].get(answers.get(kind), _NOTHING) for kind in self.classes]

    def loss(self, scores: torch.Tensor, answers: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The sum of the cross entropies of all classes; which part of the backgrounds was read wrongly."""
        parts = dict(zip(self.classes, scores.split([len(names) for names in self.classes.values()], dim=1)))
        right = dict(zip(self.classes, answers.T))
        wrong = (parts["background"].argmax(1) != right["background"]).float().mean()
        places = {kind: values.clamp(min=-1) for kind, values in right.items()}  # No answer: the tables' end.
        for (first, second), table in self.held_out.items():
            parts[second] = parts[second].masked_fill(table[places[first], :-1], -1e4)
            parts[first] = parts[first].masked_fill(table[:-1, places[second]].T, -1e4)
        losses = [
            cross_entropy(parts[kind], right[kind], ignore_index=_NOTHING, reduction="sum") / len(answers)
            for kind, names in self.classes.items() if names
        ]
        return torch.stack(losses).sum(), {"misread": wrong}


def unknown_names(encoder: Encoder, known: list[Subject]) -> list[str]:
    """Short names of Unicode's pictures that share no word with what is drawn and hold no colour: "microscope", "mouse
    trap". Which there are depends on the Unicode version of Python."""
    characters = (*range(0x2600, 0x27C0), *range(0x1F300, 0x1FB00))
    names = {unicodedata.name(chr(character), "").lower() for character in characters}
    # The drawings' own names, those of Unicode for the same characters, and colours.
    points = [chr(int(point, 16)) for subject in known for point in re.findall(r"[0-9a-f]{4,}", subject.codepoint)]
    taken = [*(subject.name for subject in known), *(unicodedata.name(point, "").lower() for point in points)]
    words = {word for name in taken for word in name.split()} | set(_COLOURS)
    return sorted(
        name for name in names
        if name.replace(" ", "").isalpha() and len(name.split()) <= 3 and not words & set(name.split())
        and encoder.length(name) <= _LONGEST_NAME
    )
