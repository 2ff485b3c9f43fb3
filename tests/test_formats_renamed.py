"""JSON logs whose keys have names of their own: `--map`."""

import json
import pickle

import pytest

from auditmw.formats.line import FormatError, LineError
from auditmw.formats.registry import format_named
from auditmw.formats.renamed import RenamedFormat, renamed

NAMES = {"who": "userid", "code": "status", "from": "remote_addr", "at": "time_iso8601"}
LINE = b'{"at":"2026-11-20T20:20:11+00:00","from":"192.0.2.1","code":200,"who":"alice","rt":0.010}'


def mapped(names=NAMES):
    return RenamedFormat(format_named("nginx:json"), names)


def test_keys_are_read_as_what_they_are_said_to_mean():
    event = mapped().parse(LINE)
    assert event["actor"]["id"] == "alice"
    assert event["client"]["address"] == "192.0.2.1"
    assert event["http"]["response"]["status_code"] == 200
    assert event["timestamp"] == "2026-11-20T20:20:11.000000Z"


def test_without_the_names_they_would_be_fields_of_their_own():
    event = format_named("nginx:json").parse(LINE)
    assert "actor" not in event
    assert event["source"]["fields"]["who"] == "alice"


def test_numbers_stay_as_they_were_written():
    assert renamed(LINE, NAMES).endswith(b'"rt":0.010}')


@pytest.mark.parametrize("line", [b"no json", b"{", b'{"other":1}', b"[]", b""])
def test_other_lines_stay_as_they_are(line):
    assert renamed(line, NAMES) is line


def test_a_key_that_has_the_name_already_gives_way():
    assert json.loads(renamed(b'{"status":"x","code":200}', NAMES)) == {"status": 200}


def test_two_keys_cannot_mean_the_same():
    with pytest.raises(FormatError, match="not userid to several"):
        mapped({"a": "userid", "b": "userid"})


def test_it_goes_to_another_process():
    parser = pickle.loads(pickle.dumps(mapped()))
    assert parser.parse(LINE) == mapped().parse(LINE)
    assert parser.name == "nginx:json"
    assert not parser.is_header(LINE)


def test_a_line_of_the_format_that_is_none_is_refused():
    with pytest.raises(LineError):
        mapped().parse(b"no json")


def test_the_line_is_written_with_its_own_keys():
    line = json.loads(mapped().render(mapped().parse(LINE)))
    assert (line["code"], line["from"]) in ((200, "192.0.2.1"), ("200", "192.0.2.1"))
    assert not {"status", "remote_addr"} & set(line)
