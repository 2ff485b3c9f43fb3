"""What is known of one request: the one object of all requests that have nothing extra stays as it is."""

import pytest

from auditmw.facts import PLAIN, Extra, Facts


@pytest.mark.parametrize("name", [name for name in vars(Extra) if not name.startswith("_")])
def test_what_most_requests_have_nothing_of_is_not_set_on_the_object_that_they_share(name):
    with pytest.raises(AttributeError, match=r"Facts\.more"):
        setattr(PLAIN, name, True)


def test_each_request_has_an_extra_of_its_own_from_the_first_more_on():
    first, second = Facts(), Facts()
    first.extra = second.extra = PLAIN
    first.more().route = "/items/{id}"
    assert first.more() is first.extra
    assert first.extra.route == "/items/{id}"
    assert second.extra is PLAIN
    assert second.extra.route is None


def test_the_notes_of_a_request_are_made_when_the_first_is_noted():
    facts = Facts()
    facts.extra = PLAIN
    facts.noted().redacted.append("/url/path")
    assert facts.extra.notes.redacted == ["/url/path"]
