from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.audit.evidence import AuditRun
from recaudit.reports import plots
from recaudit.reports.attack_plots import _limits, hit_rate_panels, rank_shift_panels
from recaudit.reports.readings import Reading

from .example_run import example_run
from .hostile import TEXTS


@pytest.fixture(scope="module")
def drawings(run: AuditRun) -> list[str]:
    reading = Reading(run)
    found = []
    for check in ("promotion", "demotion"):
        found += [plot.svg for plot in hit_rate_panels(reading.hit_rates(check), f"{check}-a")]
        found += [plot.svg for plot in rank_shift_panels(reading.rank_shifts(check), f"{check}-b")]
    assert reading.exposure is not None and reading.utility is not None
    found.append(plots.lorenz(reading.exposure.curves))
    return [*found, plots.utility(reading.utility[1], "NDCG@20", (0.12, 0.14))]


def test_colours_are_the_pages_own(drawings: list[str]) -> None:
    for svg in drawings:
        assert "var(--" in svg
        assert re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", svg) == []


def test_text_is_text_and_fonts_are_the_pages_own(drawings: list[str]) -> None:
    joined = "".join(drawings)
    assert "bandwagon</text>" in joined and "bound</text>" in joined and "control</text>" in joined
    assert "font-family" not in joined and "<style" not in joined and "xlink" not in joined


def test_title_and_description_come_first(drawings: list[str]) -> None:
    for svg in drawings:
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert [child.tag.rpartition("}")[2] for child in root][:2] == ["title", "desc"]
        assert all((child.text or "").strip() for child in list(root)[:2])


def test_one_panel_a_stratum_for_one_size_and_for_several(run: AuditRun) -> None:
    for example in (run, example_run(sizes=("1%",))):
        panels = hit_rate_panels(Reading(example).hit_rates("promotion"), "k")
        assert [panel.name for panel in panels] == ["head", "middle", "cold"]
        assert all("bandwagon</text>" in panel.svg for panel in panels)


def test_a_broken_bound_is_a_filled_mark(run: AuditRun) -> None:
    reading = Reading(run)
    (cold,) = [p for p in hit_rate_panels(reading.hit_rates("promotion"), "k") if p.name == "cold"]
    failed = sum(p.state == "fail" and p.stratum == "cold" for p in reading.hit_rates("promotion"))
    filled = re.findall(r'<use [^>]*style="fill: var\(--c(\d)\); stroke: var\(--c\1\)', cold.svg)
    assert len(filled) == failed > 0


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_names_of_any_kind_can_be_drawn(text: str) -> None:
    svg = plots.utility({"model": 0.2, text: 0.1, "$x$": 0.05}, text, None)
    root = ElementTree.fromstring(svg)
    assert "$x$" in "".join(root.itertext())
    ElementTree.fromstring(plots.lorenz({"model": [(0.0, 0.0), (1.0, 1.0)], text: [(0.0, 0.0), (1.0, 1.0)]}))


def test_the_more_attacks_the_strongest_are_drawn() -> None:
    names = tuple(f"attack-{n:02d}" for n in range(14))
    panels = hit_rate_panels(Reading(example_run(attacks=names, sizes=("1%", "3%"))).hit_rates("promotion"), "k")
    assert sum(f"{name}</text>" in panels[0].svg for name in names) == 8


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_labels_keep_their_distance_and_their_order(wanted: list[float]) -> None:
    placed = plots.apart(wanted, 0.1, 0.0, 1.0)
    ordered = [position for _, position in sorted(zip(wanted, placed, strict=True))]
    assert all(b - a >= 0.1 - 1e-9 for a, b in zip(sorted(ordered), sorted(ordered)[1:], strict=False))
    assert min(placed) >= -1e-9 and max(placed) <= 1 + 1e-9


@given(st.lists(st.floats(0, 100), min_size=1, max_size=9))
def test_labels_with_room_stay_where_they_are(wanted: list[float]) -> None:
    spread = [value + 200 * n for n, value in enumerate(wanted)]
    assert plots.apart(spread, 1.0, -1e9, 1e9) == pytest.approx(spread)


def test_a_lorenz_curve_between_its_points() -> None:
    assert plots.at([(0.0, 0.0), (0.5, 0.2), (1.0, 1.0)], 0.75) == pytest.approx(0.6)


def test_panels_have_one_scale_and_hold_what_they_show() -> None:
    panels = [[0.21, 0.27], [0.03, 0.09, 0.19], [], [0.0, 0.001]]
    limits = _limits(panels)
    assert {round(high - low, 9) for low, high in limits} == {round(0.16 * 1.14, 9)}
    for ends, (low, high) in zip(panels, limits, strict=True):
        assert all(low <= end <= high for end in ends) and low >= -0.01
