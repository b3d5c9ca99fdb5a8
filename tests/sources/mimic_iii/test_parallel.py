"""Work in threads: order, bounded look-ahead, errors."""

import random
from collections.abc import Iterator

import pytest

from workflow_scripts.sources.mimic_iii.parallel import map_ahead


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    items = [random.Random(0).randrange(20_000) for _ in range(50)]
    assert list(map_ahead(lambda size: sum(range(size)), items, threads)) == [sum(range(i)) for i in items]


def test_items_are_taken_only_a_little_ahead_of_the_results() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    for result in map_ahead(lambda item: item, items(), threads=2):
        assert len(taken) - result <= 3


def test_an_error_arrives_in_its_place() -> None:
    results = map_ahead(lambda item: 12 // item, [3, 2, 0, 1], threads=2)
    assert [next(results), next(results)] == [4, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
