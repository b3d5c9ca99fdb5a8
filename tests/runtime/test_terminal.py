"""What commands print: aligned tables, plain in a pipe, and texts that no library interprets."""

import pytest

from workflow_scripts.runtime.terminal import as_text, show, table

ROWS = [("lora-r1", "1,024"), ("full", "263,168")]


def test_columns_are_aligned_numbers_to_the_right_and_no_line_ends_with_a_space():
    assert as_text(table(("arm", "trainable"), ROWS, numbers={1})).splitlines() == [
        "arm      trainable",
        "lora-r1      1,024",
        "full       263,168",
    ]


def test_a_table_without_headings_has_no_head():
    assert as_text(table(("", ""), ROWS)).splitlines() == ["lora-r1  1,024", "full     263,168"]


def test_a_long_cell_is_continued_below_itself_where_the_width_is_limited():
    lines = as_text(table(("", ""), [("name", "one two three four")]), width=16).splitlines()
    assert lines == ["name  one two", "      three four"]


@pytest.mark.parametrize("text", ["[bold]brackets[/bold]", ":smile: 12.5 %", "a" * 300])
def test_texts_are_printed_as_they_are(text, capsys):
    show(text, table(("", ""), [("cell", text)]))
    assert capsys.readouterr().out.splitlines() == [text, f"cell  {text}"]
