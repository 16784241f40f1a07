"""Contact sheets."""

from PIL import Image


def contact_sheet(pictures: list[Image.Image], columns: int, gap: int = 0) -> Image.Image:
    """The pictures, all of one size, row by row on white."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), "white")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(picture, (column * (width + gap), row * (height + gap)))
    return sheet
