"""Captions for a subject on a background, and the way back from a prompt to what it asks for.

Templates say the same in many word orders. Some of them, and some pairs of subject and background, are held out of
training by a fixed rule, so that test prompts can ask for what was never seen together; so are some pairs of subject
and style.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

from subjects import BACKGROUNDS, PLAIN_BACKGROUND, Subject

# {subject} "red apple", {a_subject} "a red apple", {background} "blue", {a_background} "a blue".
TEMPLATES = (
    "{a_subject} on {a_background} background",
    "{subject}, {background} background",
    "{a_subject} in front of {a_background} wall",
    "{a_background} picture of {a_subject}",
    "on {a_background} background, {a_subject}",
    "{background} background, {subject}",
    "in front of {a_background} wall, {a_subject}",
    "{a_background} background with {a_subject}",
    "{a_subject} with {a_background} background",
    "a picture of {a_subject} on {background}",
    "a picture of {a_subject}, {background} background",
    "an icon of {a_subject} on {a_background} background",
    "{a_background} icon of {a_subject}",
    "{subject} on {background}",
    "{subject} in front of {background}",
    "{a_subject} against {a_background} wall",
    "against {a_background} background, {a_subject}",
    "{a_subject}, the background is {background}",
    "the background is {background}, {a_subject}",
    "{background} wall, {subject}",
    "the {subject} on the {background} background",
    "the {background} background behind the {subject}",
    "{a_background} wall behind {a_subject}",
    "draw {a_subject} on {a_background} background",
    "draw {a_background} background and {a_subject}",
    "{a_subject} and {a_background} wall",
)

_ALWAYS_TRAINED = 8  # The first templates are how most people write.

# Captions of the plain background, which need not name it.
PLAIN_TEMPLATES = (
    "{a_subject}",
    "{subject}",
    "the {subject}",
    "a picture of {a_subject}",
    "an icon of {a_subject}",
    "draw {a_subject}",
)

# More wordings, for the text encoder's reading only: no picture is trained on with them. With few wordings it takes an
# unknown one for no sentence.
READING_TEMPLATES = (
    "{a_subject} over {background}",
    "{subject}, {background}",
    "{background}, {subject}",
    "{background}: {a_subject}",
    "{a_subject} before {background}",
    "{background} behind {a_subject}",
    "{a_subject} upon {background}",
    "{a_subject} placed on {background}",
    "{a_subject} surrounded by {background}",
    "{a_subject} with {background} all around",
    "{a_subject} with {background} behind it",
    "{a_subject} standing in front of something {background}",
    "{a_subject} whose background is {background}",
    "{a_subject}; background: {background}",
    "{subject} ({background} background)",
    "{subject} - {background}",
    "background {background}, {subject}",
    "{subject}, background {background}",
    "{background} is the background, {subject}",
    "the wall is {background}, {a_subject}",
    "{a_subject}, the wall is {background}",
    "the paper is {background}: {subject}",
    "everything is {background} but {a_subject}",
    "it is {background} behind {a_subject}",
    "{a_subject}, and behind it all is {background}",
    "{a_subject} on {a_background} page",
    "{a_subject} on {background} paper",
    "on {background} paper, {a_subject}",
    "in front of {background}: {a_subject}",
    "over {background}, {a_subject}",
    "{background} paper with {a_subject}",
    "{a_background} scene with {a_subject}",
    "{a_background} image of {a_subject}",
    "{subject} by {a_background} wall",
    "show {subject}, {background} behind",
    "paint {a_subject} on {a_background} canvas",
    "I want {a_subject} with {background} around it",
    "one {subject} and {a_background} sky",
    "the {subject} under {a_background} sky",
    "the {subject} stands on {background} ground",
)

SCENE_TEMPLATES = (
    "{a_left} left of {a_right} on {a_background} background",
    "{a_right} right of {a_left} on {a_background} background",
    "{a_left} and {a_right}, {background} background",
    "on {a_background} background, {a_left} left of {a_right}",
    "on {a_background} background, {a_right} right of {a_left}",
    "{background} background, {a_left} and {a_right}",
)

STYLE_TEMPLATES = ("{caption}, {style} style", "{style} style, {caption}", "{style} style: {caption}")


def with_article(words: str) -> str:
    """ "apple" -> "an apple". A subject or colour here that starts with a vowel letter also sounds so."""
    return ("an " if words[0] in "aeio" or words.startswith("um") else "a ") + words


def held_out_templates(seed: int, count: int = 5) -> list[str]:
    """Templates for tests only: rarer ones, every word of which appears in one that is trained on."""
    order = list(TEMPLATES[_ALWAYS_TRAINED:])
    random.Random(f"{seed}/templates").shuffle(order)
    held: list[str] = []
    for template in order:
        others = [other for other in TEMPLATES if other not in held and other != template]
        if len(held) < count and set(_words(template)) <= {word for other in others for word in _words(other)}:
            held.append(template)
    return held


def held_out_backgrounds(subject: Subject, backgrounds: Iterable[str], seed: int) -> list[str]:
    """One or two backgrounds that this subject is never trained on; the plain one never."""
    generator = random.Random(f"{seed}/{subject.key}")
    coloured = [name for name in backgrounds if name != PLAIN_BACKGROUND]
    return sorted(generator.sample(coloured, min(len(coloured) // 2, generator.choice((1, 2)))))


def held_out_styles(subject: Subject, styles: Iterable[str], seed: int) -> list[str]:
    """The style that every other subject of at least three is never trained in: one, or none."""
    generator = random.Random(f"{seed}/{subject.key}/style")
    ordered = sorted(styles)
    return [generator.choice(ordered)] if len(ordered) >= 3 and generator.random() < 0.5 else []


def subject_words(subject: Subject, generator: random.Random) -> str:
    """The subject's name, every other time with its colour."""
    coloured = subject.always_coloured or (subject.colour and generator.random() < 0.5)
    return f"{subject.colour} {subject.name}" if coloured else subject.name


def fill(template: str, subject: str, background: str) -> str:
    """The caption of a template."""
    return template.format(
        subject=subject, a_subject=with_article(subject), background=background, a_background=with_article(background)
    )


def caption(
    subject: Subject, background: str, style: str, templates: list[str], generator: random.Random
) -> str:
    """A random caption. `style` is "" where the model knows only one."""
    words = subject_words(subject, generator)
    plain = background == PLAIN_BACKGROUND and generator.random() < 0.4
    text = fill(generator.choice(PLAIN_TEMPLATES if plain else templates), words, background)
    return written_freely(with_style(text, style, generator), generator)


def scene_caption(left: Subject, right: Subject, background: str, style: str, generator: random.Random) -> str:
    """A random caption of two subjects side by side."""
    names = [with_article(subject_words(subject, generator)) for subject in (left, right)]
    text = generator.choice(SCENE_TEMPLATES).format(
        a_left=names[0], a_right=names[1], background=background, a_background=with_article(background)
    )
    return written_freely(with_style(text, style, generator), generator)


def with_style(text: str, style: str, generator: random.Random) -> str:
    """The caption with its style named, where there is one to name."""
    return generator.choice(STYLE_TEMPLATES).format(caption=text, style=style) if style else text


def written_freely(text: str, generator: random.Random) -> str:
    """Half of the time with a capital letter at the start or a full stop, as people write."""
    if generator.random() < 0.3:
        text = text[0].upper() + text[1:]
    return text + "." if generator.random() < 0.3 else text


@dataclass(frozen=True)
class Request:
    """What a prompt asks for: keys of subjects from left to right, a background, a style ("" if none is named)."""

    subjects: tuple[str, ...]
    background: str | None
    style: str = ""


def parse(prompt: str, subjects: Iterable[Subject], styles: Iterable[str] = ()) -> Request:
    """Reads a prompt of any word order. The background is None when several colours are left to choose from.

    Names are taken first, longest first, each with its own colour before it, so that of "a red apple on a blue
    background" only blue is left.
    """
    words = _words(prompt)
    style = next((style for style in styles if any(pair == [style, "style"] for pair in _runs(words, 2))), "")
    phrases = [(f"{subject.colour} {subject.name}".split(), subject.key) for subject in subjects]
    phrases += [(subject.name.split(), subject.key) for subject in subjects if not subject.always_coloured]
    found: list[tuple[int, str]] = []
    for phrase, key in sorted(phrases, key=lambda entry: -len(entry[0])):
        while phrase and (place := _place(words, phrase)) is not None:
            found.append((place, key))
            # Places of other words stay as they are.
            words[place : place + len(phrase)] = ["\0"] * len(phrase)
    ordered = [key for _, key in sorted(found)]
    if _place(words, ["right", "of"]) is not None:
        ordered.reverse()
    colours = {word for word in words if word in BACKGROUNDS}
    background = PLAIN_BACKGROUND if not colours else colours.pop() if len(colours) == 1 else None
    return Request(tuple(ordered), background, style)


def _words(text: str) -> list[str]:
    """Lower-case words and punctuation marks."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def _runs(words: list[str], length: int) -> list[list[str]]:
    return [words[start : start + length] for start in range(len(words) - length + 1)]


def _place(words: list[str], phrase: list[str]) -> int | None:
    """Where the phrase starts in the words."""
    return next((start for start, run in enumerate(_runs(words, len(phrase))) if run == phrase), None)
