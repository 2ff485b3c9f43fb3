"""A realistic audit history of a small shop, for demonstrations, tests and measurements.

People come with their daily and weekly rhythm, look around, sign up, log in, buy and come back or not; robots crawl and
scan; a service account works; now and then something breaks. Every event has the shape that the middleware writes.
"""

from auditmw.cli.history.files import write_journal
from auditmw.cli.history.generator import Entry, History

__all__ = ["Entry", "History", "write_journal"]
