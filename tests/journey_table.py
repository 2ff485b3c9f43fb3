"""An engine over a table in memory, filled with `Happening`s: so that analyses can be asked by the thousand."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from auditmw.query.language import parse
from journeys_reference import Happening
from query_table import Row, TableEngine, store_of

BEGINNING = datetime(2026, 3, 28, 21, 59, tzinfo=UTC)  # a night in which Europe sets its clocks forward
PATHS = ("/", "/pricing", "/signup", "/users/1", "/users/2")


class JourneyEngine(TableEngine):
    """An engine whose archive has exactly these happenings."""

    def __init__(self, happenings=(), **options):
        super().__init__(**options)
        self.hold(happenings)

    def hold(self, happenings):
        """Have these happenings from now on."""
        self._store.close()
        rows = [Row(one.writer, one.seq, one.event) for one in happenings]
        self._store = store_of(rows)
        self._store.shuffle()
        return self


def happening(minutes, path="/", *, session="s", user=None, writer="a", seq=0, event="http_request", **fields):
    """A happening some minutes after BEGINNING; a request, unless it has no path."""
    time = BEGINNING + timedelta(minutes=minutes)
    made = {"timestamp": f"{time.replace(tzinfo=None).isoformat(timespec='microseconds')}Z", "event": event, **fields}
    if path is not None:
        made["url"] = {"path": path, **fields.get("url", {})}
    if session is not None:
        made["session"] = {"id": session}
    if user is not None:
        made["actor"] = {"id": user}
    return Happening(time, writer, seq, made)


def in_order(*happenings):
    """The happenings with numbers in the order in which they are given."""
    return [one._replace(seq=number) for number, one in enumerate(happenings)]


@st.composite
def random_happenings(draw, *, most=40, minutes=60):
    """Happenings of few units at few moments, so that there is much at the same time, by several writers."""
    chosen = draw(
        st.lists(
            st.tuples(
                st.integers(0, minutes),
                st.sampled_from(PATHS),
                st.sampled_from(["s", "t", "u", None]),
                st.sampled_from(["ada", "bob", None]),
                st.sampled_from(["b", "a", "c"]),
                st.sampled_from(["free", "paid", None]),
            ),
            max_size=most,
        )
    )
    return [
        happening(
            minute,
            path,
            session=session,
            user=user,
            writer=writer,
            seq=seq,
            **({"data": {"plan": plan}} if plan else {}),
        )
        for seq, (minute, path, session, user, writer, plan) in enumerate(draw(st.permutations(chosen)))
    ]


def of_session(happening):
    return happening.event.get("session", {}).get("id")


def of_user(happening):
    return happening.event.get("actor", {}).get("id")


def matching(text):
    """A query as a function of a happening."""
    query = parse(text)
    assert not query.errors
    return lambda happening: query.matches(happening.event)
