"""Colours of the page and its charts: light, dark and print. WCAG 2.2 contrast is tested for each."""

LIGHT = {
    "page": "#f6f7f8",
    "paper": "#ffffff",
    "ink": "#16202a",
    "muted": "#55636f",
    "grid": "#e3e8ec",
    "line": "#ccd4db",
    "accent": "#005b96",
    "best": "#dcefe2",
    "best-ink": "#0b5a2c",
    "warn": "#fff4dc",
    "warn-line": "#b97700",
    "bad": "#b3261e",
    "bad-back": "#fbe4e1",
    "series-0": "#0072b2",
    "series-1": "#c65300",
    "series-2": "#00805e",
    "series-3": "#a3487f",
    "series-4": "#7d6400",
    "series-5": "#3a7f9b",
    "series-6": "#5d5d5d",
}
"""The series are darkened tones of Okabe and Ito's palette, which colour-blind readers tell apart; every model
has a marker too."""

DARK = {
    "page": "#10161b",
    "paper": "#182129",
    "ink": "#e6ebef",
    "muted": "#a3b0bb",
    "grid": "#2b3742",
    "line": "#3a4957",
    "accent": "#6fb7ec",
    "best": "#1c3d2b",
    "best-ink": "#9fe3b8",
    "warn": "#33290f",
    "warn-line": "#d69a2d",
    "bad": "#ff8a80",
    "bad-back": "#43211f",
    "series-0": "#56b4e9",
    "series-1": "#f58b4c",
    "series-2": "#33c79f",
    "series-3": "#e59cc7",
    "series-4": "#e3bd45",
    "series-5": "#8fd0e6",
    "series-6": "#b9b9b9",
}

PRINT = LIGHT | {
    "page": "#ffffff",
    "ink": "#000000",
    "muted": "#444444",
    "grid": "#dddddd",
    "line": "#bbbbbb",
    "accent": "#003f6b",
    "warn": "#ffffff",
    "warn-line": "#7a5000",
    "bad": "#8a1b15",
}

COLOURS = tuple(f"var(--series-{number})" for number in range(7))
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right")
SIGNS = ("●", "■", "▲", "◆", "▼", "✚", "▶")
"""The shapes as characters, for tables."""


def look(index: int | None) -> tuple[str, str, str]:
    """Colour, shape and sign of the model at an index; after the last colour they begin again, shifted."""
    if index is None:
        return "var(--muted)", "M-0.18,-1.2H0.18V1.2H-0.18Z", "❘"
    turn = (index + index // len(COLOURS)) % len(SHAPES)
    return COLOURS[index % len(COLOURS)], SHAPES[turn], SIGNS[turn]
