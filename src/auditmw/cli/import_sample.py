"""`auditmw import --dry-run N`: what the first lines of the inputs would become."""

from __future__ import annotations

from collections.abc import Iterator

from auditmw.cli.import_format import FormatChoice
from auditmw.cli.output import Output, Unreadable
from auditmw.formats.line import FormatError
from auditmw.importing.chunks import Chunk, Cutter, anchor_of
from auditmw.importing.events import EventSource, Origin, Tally
from auditmw.importing.importer import Reader
from auditmw.importing.inputs import InputError, open_input
from auditmw.importing.intake import sample_lines
from auditmw.importing.interrupt import Interrupt
from auditmw.importing.ledger import Ledger
from auditmw.importing.redaction import EventRedactor
from auditmw.importing.workers import Setup
from auditmw.redact import Redactor


def show_sample(shown: Output, names: list[str], choice: FormatChoice, setup: Setup, count: int) -> None:
    """Show the events of the first `count` lines of every input, and why others would be rejected; write nothing.

    Raises Unreadable for an input that cannot be read, or whose format cannot be told.
    """
    source = EventSource(EventRedactor(Redactor(keys=setup.redact)), setup.keep_raw)
    for name in names:
        try:
            with open_input(name) as lines, Interrupt() as interrupt:
                _show(shown, source, Reader(lines, interrupt), choice, count)
        except (InputError, FormatError) as error:
            raise Unreadable(str(error)) from None


def _show(shown: Output, source: EventSource, reader: Reader, choice: FormatChoice, count: int) -> None:
    head = reader.head()
    parser = choice(reader.source.name, sample_lines(head, at_end=reader.at_end))
    origin = Origin(reader.source.base_name, anchor_of(head))
    tally, events = Tally(), 0
    for chunk in _first_chunks(reader, head, count):
        for event in source.events(chunk, parser, origin, tally):
            shown.event(event)
            events += 1
    for reject in tally.rejects:
        shown.problem(f"line {reject.line:,}: {reject.reason}")
    told = f"{events} events, {len(tally.rejects)} lines rejected, {tally.ignored} without an event"
    shown.note(f"{reader.source.name}: {parser.name}: {told}; nothing was written")
    if reader.damage is not None:
        shown.problem(str(reader.damage))


def _first_chunks(reader: Reader, head: bytes, count: int) -> Iterator[Chunk]:
    """Yield the first lines, as many as are asked for."""
    cutter = Cutter(Ledger())
    block: bytes | None = head
    while block != b"":
        for piece in [*cutter.feed(block or b""), *cutter.flush()]:
            if isinstance(piece, Chunk):
                data = _first_lines(piece.data, count)
                yield piece._replace(data=data)
                count -= data.count(b"\n")
            if count <= 0:
                return
        block = reader.read()
    if cutter.rest:
        yield cutter.take_rest()


def _first_lines(data: bytes, count: int) -> bytes:
    end = 0
    while count > 0 and end < len(data):
        end = data.find(b"\n", end) + 1 or len(data)
        count -= 1
    return data[:end]
