"""Writing, framing, reading and recovering the journal: plain JSON Lines files that survive `kill -9`."""

from auditmw.journal.error import JournalError
from auditmw.journal.events import read_events
from auditmw.journal.follow import Follower
from auditmw.journal.frame import MAX_LINE_BYTES, open_line, seal
from auditmw.journal.intents import settle
from auditmw.journal.layout import dead_writers, is_live, journal_files, writer_of
from auditmw.journal.quota import Quota
from auditmw.journal.reader import Damage, FileReader, Line, read_lines
from auditmw.journal.stream import StreamJournal
from auditmw.journal.wholefile import remove_unfinished, write_file
from auditmw.journal.writer import Journal

__all__ = [
    "MAX_LINE_BYTES",
    "Damage",
    "FileReader",
    "Follower",
    "Journal",
    "JournalError",
    "Line",
    "Quota",
    "StreamJournal",
    "dead_writers",
    "is_live",
    "journal_files",
    "open_line",
    "read_events",
    "read_lines",
    "remove_unfinished",
    "seal",
    "settle",
    "write_file",
    "writer_of",
]
