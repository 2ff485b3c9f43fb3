"""Formats of events outside of auditmw, one file each, pure: event <-> bytes.

`record_format("ecs")` is the format of that name, `structlog_format([...])` one of structlog processors; both are for
`Audit(stream, format=...)`. Each format's own module is loaded when it is asked for.
"""

from auditmw.formats.records import RECORD_FORMATS, record_format
from auditmw.formats.structlog import structlog_format

__all__ = ["RECORD_FORMATS", "record_format", "structlog_format"]
