"""The fenced code blocks of a Markdown file, so that tests run what a reader would copy.

A comment in the line before a block, which readers do not see, says what tests do with it:

    <!-- run -->                 its commands are run, in a project whose tiny study is finished
    <!-- run on the demo -->     the same on the open MIMIC-III demo; on simulated data where the demo is not
    <!-- not run: REASON -->     its commands are only checked: programs, options, settings, targets
    <!-- run by tests/… -->      that test runs it
    <!-- file: PATH -->          no command: the file that later commands of the page read
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.projects import ROOT

DOCS = ROOT / "docs"
SHELLS = ("bash", "sh", "console", "shell")
_PART = re.compile(
    r"^#+ (?P<heading>[^\n]+)$"
    r"|(?:^<!-- (?P<mark>[^\n]+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One code block: its language, its text, the last heading before it, and the mark above it."""

    heading: str
    language: str
    text: str
    mark: str = ""

    @property
    def is_shell(self) -> bool:
        """Whether a reader would type it."""
        return self.language in SHELLS

    @property
    def commands(self) -> list[list[str]]:
        """A shell block's commands, each as its words; a backslash continues a line, # begins a comment."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(name: str) -> list[Block]:
    """All code blocks of a file in docs/, in order."""
    return blocks_of(DOCS / name)


def blocks_of(path: Path) -> list[Block]:
    """All code blocks of a Markdown file, in order."""
    heading, found = "", []
    for part in _PART.finditer(path.read_text(encoding="utf-8")):
        if part["heading"]:
            heading = part["heading"]
        else:
            found.append(Block(heading, part["language"], part["text"], part["mark"] or ""))
    return found


def pages() -> list[Path]:
    """Every page with commands for readers, in the order in which a project goes through them."""
    # The tutorial makes the demo's events, which others read; the page on cohorts cuts other windows than the study's.
    # The baseline of commands is the steps' own help, whose examples tests/steps/test_help.py checks.
    first, last, left_out = ["tutorial.md"], ["cohorts.md"], ["commands.md"]
    named = {*first, *last, *left_out}
    others = sorted(path.name for path in DOCS.glob("*.md") if path.name not in named)
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(DOCS / name for name in (*first, *others, *last))]
