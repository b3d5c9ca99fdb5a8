"""The fenced code blocks of a Markdown file, so that tests run what a reader would copy."""

import re
import shlex
from dataclasses import dataclass

from projects import ROOT

DOCS = ROOT / "docs"
_PART = re.compile(
    r"^#+ (?P<heading>[^\n]+)$|^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One code block: its language, its text, and the last heading before it."""

    heading: str
    language: str
    text: str

    @property
    def commands(self) -> list[list[str]]:
        """A shell block's commands, each as its words; a backslash continues a line."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [shlex.split(line) for line in lines if line]


def blocks(name: str) -> list[Block]:
    """All code blocks of a file in docs/, in order."""
    text, heading, found = (DOCS / name).read_text(encoding="utf-8"), "", []
    for part in _PART.finditer(text):
        if part["heading"]:
            heading = part["heading"]
        else:
            found.append(Block(heading, part["language"], part["text"]))
    return found
