"""The dashboard's layout as a pure function."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from resilient_constructs.monitoring.layout import Shown, layout, widget_count
from resilient_constructs.monitoring.queries import CORRELATION_ID
from resilient_constructs.monitoring.signal import Lane, Math, Metric, Panel, Section

AGE = Metric(namespace="AWS/SQS", name="Age", dimensions={"QueueName": "orders"}, statistic="Maximum")
SENT = Metric(namespace="AWS/SQS", name="Sent", dimensions={"QueueName": "orders"}, label="sent")


def a_section(title: str, lane: Lane, *, panels: int = 2, log_groups: tuple[str, ...] = ()) -> Section:
    """A section with so many graphs."""
    graphs = tuple(Panel(title=f"{title} {number}", left=(AGE,)) for number in range(panels))
    return Section(title=title, lane=lane, panels=graphs, log_groups=log_groups)


def laid_out(*sections: Section, alarms: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The widgets of a dashboard with these sections, each with these alarms."""
    shown = [Shown(section=section, alarms=alarms) for section in sections]
    return list(layout(shown, title="Shop", region="eu-west-1")["widgets"])


def of_type(widgets: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The widgets of one type."""
    return [widget for widget in widgets if widget["type"] == kind]


def placed_at(widgets: list[dict[str, Any]], markdown: str) -> tuple[int, int]:
    """Where a text stands: column and row."""
    (found,) = [w for w in of_type(widgets, "text") if w["properties"]["markdown"] == markdown]
    return found["x"], found["y"]


sections = st.builds(
    a_section,
    st.sampled_from(["Api", "Orders", "Delivery"]),
    st.sampled_from(Lane),
    panels=st.integers(1, 9),
    log_groups=st.lists(st.text("abc/", min_size=1), max_size=3).map(tuple),
)


@given(
    st.lists(st.builds(Shown, section=sections, alarms=st.lists(st.just("arn"), max_size=120).map(tuple))),
)
def test_widgets_stay_on_the_grid_and_never_overlap(shown: list[Shown]) -> None:
    """Whatever the sections, every widget lies within 24 columns and no two share a cell."""
    widgets = layout(shown, title="Shop", region="eu-west-1")["widgets"]

    taken = [
        (x, y)
        for widget in widgets
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(taken) == len(set(taken))
    assert all(0 <= x < 24 for x, _ in taken)


@given(st.lists(sections, max_size=8))
def test_a_dashboard_never_has_more_widgets_than_were_counted(given_sections: list[Section]) -> None:
    """The count that decides about a second dashboard is never below what is laid out."""
    counted = 5 + sum(widget_count(section) for section in given_sections)

    assert len(laid_out(*given_sections, alarms=("arn",))) <= counted


def test_lanes_read_left_to_right_whatever_the_order_of_construction() -> None:
    """An API stands left of the bus and the bus left of the consumer, even when built last."""
    widgets = laid_out(
        a_section("Delivery", Lane.WORK), a_section("Orders", Lane.ROUTING), a_section("Api", Lane.ENTRY)
    )

    columns = [placed_at(widgets, f"### {title}")[0] for title in ("Api", "Orders", "Delivery")]
    assert columns == [0, 12, 18]


def test_graphs_of_all_lanes_begin_on_one_line() -> None:
    """A lane with many alarms pushes the graphs of its neighbours down too."""
    many = Shown(section=a_section("Delivery", Lane.WORK), alarms=tuple(f"arn{n}" for n in range(9)))
    few = Shown(section=a_section("Api", Lane.ENTRY), alarms=("arn",))

    widgets = layout([many, few], title="Shop", region="eu-west-1")["widgets"]

    assert placed_at(widgets, "### Api")[1] == placed_at(widgets, "### Delivery")[1]


def test_alarms_come_before_graphs_and_logs_last() -> None:
    """Reading from the top: is anything wrong, then how it looks, then what the records say."""
    widgets = laid_out(a_section("Api", Lane.ENTRY, log_groups=("access",)), alarms=("arn",))

    rows = {kind: [widget["y"] for widget in of_type(widgets, kind)] for kind in ("alarm", "metric", "log")}
    assert max(rows["alarm"]) < min(rows["metric"])
    assert max(rows["metric"]) < min(rows["log"])


def test_an_alarm_widget_takes_a_hundred_alarms_at_most() -> None:
    """The 101st alarm of a lane stands in a second widget."""
    widgets = laid_out(a_section("Api", Lane.ENTRY), alarms=tuple(f"arn{n}" for n in range(101)))

    assert [len(w["properties"]["alarms"]) for w in of_type(widgets, "alarm")] == [100, 1]


def test_the_story_follows_the_id_typed_into_the_dashboard() -> None:
    """The dashboard has a field whose text replaces the placeholder in the story's query."""
    shown = [Shown(section=a_section("Api", Lane.ENTRY, log_groups=("access", "work")))]
    body = layout(shown, title="Shop", region="eu-west-1")

    (field,) = body["variables"]
    story = of_type(body["widgets"], "log")[-1]["properties"]["query"]
    assert field["pattern"] == CORRELATION_ID
    assert f'correlation_id = "{CORRELATION_ID}"' in story
    assert story.startswith("SOURCE 'access' | SOURCE 'work' | fields")


def test_without_log_groups_there_are_no_logs() -> None:
    """A query over nothing would show an error on the dashboard, so there is none."""
    body = layout([Shown(section=a_section("Orders", Lane.ROUTING))], title="Shop", region="eu-west-1")

    assert not of_type(body["widgets"], "log")
    assert "variables" not in body


def test_an_empty_dashboard_is_legal() -> None:
    """No section at all gives a title and nothing else."""
    assert [widget["type"] for widget in laid_out()] == ["text"]


def graph_of(panel: Panel) -> dict[str, Any]:
    """The properties of one panel's widget."""
    section = Section(title="Orders", lane=Lane.WORK, panels=(panel,))
    (graph,) = of_type(laid_out(section), "metric")
    return dict(graph["properties"])


def test_a_graph_draws_the_alarms_threshold() -> None:
    """The line that wakes someone is on the graph that shows why."""
    graph = graph_of(Panel(title="Age", left=(AGE,), threshold=300))

    (line,) = graph["annotations"]["horizontal"]
    assert line["value"] == 300


def test_a_threshold_that_only_cloudformation_knows_draws_no_line() -> None:
    """A number token would stand in the JSON as a meaningless number."""
    assert "annotations" not in graph_of(Panel(title="Age", left=(AGE,), threshold=-1.8881545897087503e289))


def test_ids_of_two_expressions_do_not_clash_in_one_graph() -> None:
    """Expressions that use the same metric ids share a graph; CloudWatch wants ids unique per widget."""
    lost = Math(expression="sent - seen", metrics={"sent": SENT, "seen": AGE}, label="lost")
    share = Math(expression="100 * seen / sent", metrics={"sent": SENT, "seen": AGE}, label="share")

    rows = graph_of(Panel(title="Loss", left=(lost,), right=(share,)))["metrics"]

    options = [row[-1] for row in rows]
    ids = [option["id"] for option in options]
    assert len(ids) == len(set(ids))
    for option in options:
        if "expression" in option:
            words = option["expression"].replace("-", " ").replace("*", " ").replace("/", " ").split()
            assert all(word in ids for word in words if not word.isdigit())


def test_a_metric_keeps_its_own_statistic_and_axis() -> None:
    """Left and right metrics are told apart, each with the statistic and the label that it was given."""
    rows = graph_of(Panel(title="Age and flow", left=(AGE,), right=(SENT,)))["metrics"]

    *named, options = rows[0]
    assert named == ["AWS/SQS", "Age", "QueueName", "orders"]
    assert options == {"stat": "Maximum", "period": 60, "label": "Age", "yAxis": "left"}
    assert rows[1][-1] == {"stat": "Sum", "period": 60, "label": "sent", "yAxis": "right"}


def test_sections_of_one_lane_stand_below_each_other_in_the_order_they_were_built() -> None:
    """Two consumers share the work lane, the first one on top."""
    widgets = laid_out(a_section("First", Lane.WORK), a_section("Second", Lane.WORK))

    (x1, y1), (x2, y2) = placed_at(widgets, "### First"), placed_at(widgets, "### Second")
    assert x1 == x2
    assert y1 < y2


def test_the_lane_with_most_graphs_gets_the_room_that_is_left() -> None:
    """A consumer with many graphs shows them two abreast instead of far below its neighbours."""
    widgets = laid_out(
        a_section("Api", Lane.ENTRY, panels=3),
        a_section("Orders", Lane.ROUTING, panels=2),
        a_section("Delivery", Lane.WORK, panels=8),
    )

    assert [placed_at(widgets, f"### {title}")[0] for title in ("Api", "Orders", "Delivery")] == [0, 6, 12]
    assert {graph["x"] for graph in of_type(widgets, "metric")} == {0, 6, 12, 18}


def test_a_lone_lane_uses_the_whole_width() -> None:
    """With one lane, graphs stand abreast instead of stretching over the screen."""
    graphs = of_type(laid_out(a_section("Delivery", Lane.WORK, panels=5)), "metric")

    assert [(graph["x"], graph["width"]) for graph in graphs] == [(0, 6), (6, 6), (12, 6), (18, 6), (0, 6)]
    assert len(list(itertools.groupby(graph["y"] for graph in graphs))) == 2
