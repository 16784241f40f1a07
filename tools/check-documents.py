#!/usr/bin/env python3
"""Checks the documents: the README's size and tables, links and anchors, the width of comments.

    python3 tools/check-documents.py

Relative links, `<doc:...>` links and pictures of Markdown files must lead to a file of the project, `#anchors` to one of
its headings. Comments in Swift sources have at most COMMENT_WIDTH columns, which swift format does not look at.
"""

import pathlib
import re
import subprocess
import sys

README_BYTES = 12_000
TABLE_ROWS = 8
COMMENT_WIDTH = 100
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<doc:([\w-]+)>")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def check_readme(text: str) -> list[str]:
    faults = []
    size = len(text.encode())
    if size >= README_BYTES:
        faults.append(f"README.md: {size} bytes, at most {README_BYTES - 1}: measured tables belong in RESULTS.md")
    for table in re.finditer(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = table.group().count("\n") - 2  # without the head and the line below it
        if rows > TABLE_ROWS:
            line = text.count("\n", 0, table.start()) + 1
            faults.append(f"README.md:{line}: a table of {rows} rows, at most {TABLE_ROWS}")
    return faults


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_links(root: pathlib.Path, name: str, files: set[str]) -> list[str]:
    faults = []
    for link, article in LINK.findall(CODE.sub("", (root / name).read_text())):
        if re.match(r"\w+:", link):  # https:, mailto:
            continue
        path, _, anchor = (link or article + ".md").partition("#")
        target = ((root / name).parent / path).resolve() if path else root / name
        relative = str(target.relative_to(root)) if target.is_relative_to(root) else path
        if relative not in files and not target.is_dir():
            faults.append(f"{name}: '{link or article}' leads to no file of the project")
        elif anchor and anchor not in anchors(target.read_text()):
            faults.append(f"{name}: '{path}' has no heading for '#{anchor}'")
    return faults


def check_comments(root: pathlib.Path, name: str) -> list[str]:
    return [
        f"{name}:{number}: a comment of {len(line)} columns, at most {COMMENT_WIDTH}"
        for number, line in enumerate((root / name).read_text().splitlines(), 1)
        if len(line) > COMMENT_WIDTH and line.lstrip().startswith("//")
    ]


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, check=True, capture_output=True, text=True)
    files = {name for name in listing.stdout.split("\0") if (root / name).is_file()}
    faults = check_readme((root / "README.md").read_text())
    for name in sorted(files):
        if name.endswith(".md"):
            faults += check_links(root, name, files)
        elif name.endswith(".swift"):
            faults += check_comments(root, name)
    print("\n".join(faults) if faults else "documents: sizes, links and comments are in order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
