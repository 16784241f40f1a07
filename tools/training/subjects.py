"""What the model learns to draw: subjects, backgrounds and styles, with the words captions use for them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """One drawing's name. `colour` is an adjective that a caption may put before the name, "" for none.

    `always_coloured` says that the name alone is not enough, as for the red and the blue heart.
    """

    codepoint: str
    name: str
    colour: str
    always_coloured: bool = False

    @property
    def key(self) -> str:
        """The name that manifests and score tables use: unique among the subjects."""
        return f"{self.colour} {self.name}" if self.always_coloured else self.name


# Name of the background -> sRGB colour. Distances between any two are at least 60 levels.
BACKGROUNDS = {
    "white": (255, 255, 255),
    "black": (24, 24, 28),
    "red": (214, 60, 60),
    "green": (76, 175, 90),
    "blue": (70, 120, 220),
    "yellow": (250, 220, 90),
    "orange": (245, 145, 45),
    "purple": (130, 75, 175),
    "pink": (250, 165, 205),
    "gray": (140, 142, 150),
}

# A caption that names no background means this one.
PLAIN_BACKGROUND = "white"

# Folder of icons: name of the style there -> words in a caption.
STYLES = {
    "noto": "noto",
    "blobmoji": "blob",
    "fluent-3d": "3d",
    "fluent-flat": "flat",
    "fluent-color": "glossy",
    "fluent-mono": "line",
    "pixel": "pixel",
}

_TABLE = """
1f34e apple red
1f34c banana yellow
1f353 strawberry red
1f349 slice of watermelon red
1f355 slice of pizza -
1f354 hamburger brown
1f369 doughnut brown
1f382 birthday cake pink
2615 cup of coffee white
1f34b lemon yellow
1f347 bunch of grapes purple
1f352 pair of cherries red
1f34d pineapple yellow
1f955 carrot orange
1f951 avocado green
1f9c0 wedge of cheese yellow
1f950 croissant brown
1f366 ice cream cone white
1f36d lollipop -
1f431 cat yellow
1f436 dog brown
1f430 rabbit gray
1f98a fox orange
1f43c panda -
1f981 lion orange
1f438 frog green
1f435 monkey brown
1f437 pig pink
1f42e cow brown
1f43b bear brown
1f427 penguin black
1f989 owl brown
1f98b butterfly orange
1f422 turtle green
1f420 tropical fish yellow
1f433 whale blue
1f980 crab red
1f40c snail brown
1f41d bee yellow
1f418 elephant gray
1f984 unicorn white
1f996 dinosaur green
1f332 pine tree green
1f334 palm tree green
1f335 cactus green
1f33b sunflower yellow
1f339 rose red
1f337 tulip pink
1f344 mushroom red
1f341 maple leaf red
1f340 clover green
2b50 star yellow
1f31e sun yellow
1f319 moon yellow
1f308 rainbow -
26c4 snowman white
1f525 fire orange
1f697 car red
1f69c tractor green
2708 airplane gray
1f680 rocket gray
26f5 sailboat red
1f6b2 bicycle blue
1f3e0 house -
26fa tent yellow
2602 umbrella purple
26bd soccer ball -
1f3c0 basketball orange
1f3b8 guitar red
1f3c6 trophy yellow
1f381 gift yellow
1f388 balloon red
1f451 crown yellow
1f511 key yellow
1f4a1 light bulb yellow
23f0 alarm clock red
1f600 grinning face yellow
1f60e face with sunglasses yellow
1f47b ghost white
1f47d alien gray
1f916 robot gray
1f480 skull gray
1f383 pumpkin orange
"""


def _subjects() -> tuple[Subject, ...]:
    """The table's rows and the two hearts, which only their colours tell apart."""
    rows = [line.split() for line in _TABLE.strip().splitlines()]
    listed = [Subject(row[0], " ".join(row[1:-1]), row[-1].strip("-")) for row in rows]
    hearts = [Subject("2764", "heart", "red", True), Subject("1f499", "heart", "blue", True)]
    return tuple(listed + hearts)


SUBJECTS = _subjects()
