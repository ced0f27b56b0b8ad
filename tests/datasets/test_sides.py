from __future__ import annotations

import pandas as pd

from recaudit.datasets.sides import usual_columns


def test_usual_columns_are_found_whatever_their_case_and_spaces_in_the_order_asked_for() -> None:
    table = pd.DataFrame({"Age Group": [1], "id": [2], "GENDER": [3], "Country-Code": [4], "age_group": [5]})
    assert usual_columns(table, ("gender", "age_group", "occupation")) == ["GENDER", "Age Group", "age_group"]
    assert usual_columns(None, ("gender",)) == [] == usual_columns(table, ())
