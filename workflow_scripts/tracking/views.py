"""Saved views: columns, filter and order of MLflow's table of runs, under a name in its menu `Views`."""

import base64
import json
import zlib
from collections.abc import Sequence

VIEW = "mlflow.sharedViewState."
"""Where MLflow's own pages keep views: a tag of the experiment for each, `VIEW` and the view's id."""

TICK_BOX, NAME = "1", "attributes.`Run Name`"
"""What the pages call the first two columns."""

_SHOWN = {
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "runsHiddenMode": "SHOWALL",
    "viewMaximized": False,
    "runListHidden": False,
    "isAccordionReordered": False,
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "groupBy": None,
    "groupsExpanded": {},
    "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
}


def saved_view(
    name: str, query: str, columns: Sequence[str], order_by: str, position: int, ascending: bool = True
) -> str:
    """The value of a view's tag, as MLflow 3.17 writes it: JSON around the compressed state of the page.

    Args:
        name: what the menu shows.
        query: MLflow's filter of runs.
        columns: metrics.`mse`, tags.`rank`, …
        order_by: the column to sort by.
        position: the place in the menu, which shows the newest view first.
        ascending: smallest first.
    """
    state = {
        **_SHOWN,
        "searchFilter": query,
        "orderByKey": order_by,
        "orderByAsc": ascending,
        "selectedColumns": list(columns),
        "columnOrder": [TICK_BOX, NAME, *columns, "runDateAndNestInfo", "duration"],
        "columnWidths": {NAME: 290},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)).decode()
    time = 10**12 - position  # A fixed time, so that the same view is the same text.
    return json.dumps(
        {"name": name, "createdAt": time, "updatedAt": time, "state": f"deflate;{packed}"},
        separators=(",", ":"),
    )
