from __future__ import annotations

import jinja2
import pytest

from tsavo.console.rendering import environment


def test_what_comes_from_outside_is_escaped() -> None:
    template = environment().from_string('<a title="{{ x }}">{{ x }}</a>')
    assert "<script" not in template.render(x='"><script>alert(1)</script>')


def test_json_inside_a_page_cannot_end_its_element() -> None:
    made = environment().from_string("{{ x|tojson_safe|safe }}").render(x={"a": "</script><script>alert(1)"})
    assert "<" not in made
    assert "\\u003c/script" in made


def test_a_name_that_is_not_given_is_an_error_and_not_nothing() -> None:
    with pytest.raises(jinja2.UndefinedError):
        environment().from_string("{{ nobody }}").render()


def test_every_template_can_be_read() -> None:
    made = environment()
    names = made.list_templates()
    assert len(names) >= 12
    for name in names:
        made.get_template(name)


def test_no_page_has_script_or_style_of_its_own() -> None:
    made = environment()
    assert made.loader is not None
    for name in made.list_templates():
        source, _, _ = made.loader.get_source(made, name)
        assert " style=" not in source, name
        assert "<style" not in source, name
        assert " onclick=" not in source, name
        for tag in source.split("<script")[1:]:
            opening = tag.partition(">")[0]
            assert "src=" in opening or 'type="application/json"' in opening, name
