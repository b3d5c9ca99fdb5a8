"""The page and the catalogue say the same."""

import json

from tests.faults.catalogue import CATALOGUE
from tests.faults.run_catalogue import OUTCOME, PAGE, ROOT, page


def test_the_page_shows_every_entry_with_the_stored_outcome() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text, json.loads(OUTCOME.read_text(encoding="utf-8"))), (
        "run_catalogue.py --page writes it"
    )


def test_every_outcome_is_of_an_entry() -> None:
    assert json.loads(OUTCOME.read_text(encoding="utf-8"))["entries"].keys() <= CATALOGUE.keys()


def test_every_entry_names_tests_that_there_are() -> None:
    for entry in CATALOGUE.values():
        for test in entry.tests:
            path, _, name = test.partition("::")
            text = (ROOT / path).read_text(encoding="utf-8")
            assert f"def {name}" in text, test
