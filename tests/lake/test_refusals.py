"""DuckDB's refusals in plain words."""

from __future__ import annotations

import pytest

from tests.lake.scene import Scene, decision
from tsavo.vocabulary import Invalid


@pytest.fixture
def lake(scene: Scene) -> Scene:
    scene.write(decision(1), decision(1, endpoint="sales"))
    return scene


def refusal(scene: Scene, query: str) -> Invalid:
    with pytest.raises(Invalid) as caught:
        scene.lake.sql(query, memory_mib=64)
    return caught.value


@pytest.mark.parametrize(
    ("query", "words", "place", "step"),
    [
        ("selct 1", 'syntax error at or near "selct"', (1, 1), None),
        ("select 1,\n  2 frm sales", "syntax error", (2, 9), None),
        ("select agee\nfrom sales", "there is no column 'agee' here", (1, 8), "did you mean age?"),
        ("select x.age from sales s", "Referenced table", None, None),
        ("select *\nfrom slaes", "there is no view 'slaes'", (2, 6), "did you mean sales"),
        ('select * from "credit-rsk"', "there is no view 'credit-rsk'", (1, 16), '"credit-risk"'),
        ("select * from credit-risk", "syntax error", (1, 21), 'write "credit-risk" in double quotes'),
        ("select roound(age) from sales", "roound", None, "did you mean round?"),
        ("select cast('x' as int) from sales", "Could not convert", (1, 8), None),
        ("select * from read_text('/etc/passwd')", "nothing but the lake", None, None),
        ("select list(range) from range(100000000)", "more memory than its 64 MiB", None, None),
        ("select " + "1 + " * 60 + "nowhere from sales", "'nowhere'", (1, 248), None),
        ("select " + "1 + " * 60 + "cast('y' as int) from sales", "Could not convert", (1, 248), None),
    ],
    ids=range(13),
)
def test_a_refusal_says_what_where_and_what_was_perhaps_meant(
    lake: Scene, query: str, words: str, place: tuple[int, int] | None, step: str | None
) -> None:
    error = refusal(lake, query)
    assert words in error.reason
    assert "Error:" not in error.reason
    if place is not None:
        assert (error.details["line"], error.details["column"]) == place
        assert f"at line {place[0]}, column {place[1]}" in error.reason
    if step is not None:
        assert step in (error.next_step or "")


def test_an_endpoint_whose_name_ends_like_a_view_of_outcomes_keeps_its_name(scene: Scene) -> None:
    scene.write(
        decision(1, endpoint="a"), decision(2, endpoint="a_outcomes"), decision(3, endpoint="a_outcomes")
    )
    assert scene.rows("select count(*) from a_outcomes") == [(2,)]
    assert scene.rows("select count(*) from a_outcomes_outcomes") == [(0,)]


def test_a_query_that_nobody_waits_for_is_stopped(lake: Scene) -> None:
    import threading

    stop = threading.Event()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t"
    with pytest.raises(Invalid, match="was stopped"), lake.lake.ask(endless, stop=stop) as answer:
        list(answer)
    with lake.lake.ask("select * from range(100000000)") as answer:
        first = next(iter(answer))
        answer.stop()
        with pytest.raises(Invalid, match="was stopped"):
            list(answer)
    assert first.num_rows > 0
    timer.cancel()
