"""Choosing rows by ITEMID, against Arrow's own membership test."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from workflow_scripts.sources.mimic_iii.item_filter import ItemFilter

ITEMIDS = [211, None, 0, -5, 220045, 220046, 2**40, 211, 51]


@pytest.mark.parametrize("wanted", [[], [211], [51, 220045], [220046, 211, 51]])
def test_the_rows_of_the_wanted_items_stay_in_order(wanted: list[int]) -> None:
    batch = pa.record_batch({"itemid": pa.array(ITEMIDS, pa.int64()), "value": [str(i) for i in ITEMIDS]})
    expected = batch.filter(pc.is_in(batch["itemid"], pa.array(wanted, pa.int64())))
    assert ItemFilter(wanted)(batch, ["value", "itemid"]).equals(expected.select(["value", "itemid"]))
