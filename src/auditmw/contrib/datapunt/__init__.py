"""DataPunt's audit log (datapunt-audit-log 0.4.0): its logger and its formatter, in place of the originals.

    from auditmw.contrib.datapunt import AuditLogger  # was: from audit_log.logger import AuditLogger

`contrib.datapunt_flask` and `contrib.datapunt_django` are built on it. The line that is logged has the keys and values
that the original's has; inside a request of an auditmw shell, what is said goes to the request's own event as well.
docs/datapunt.md lists what is different, and why.
"""

from auditmw.contrib.datapunt.line import AuditLogFormatter
from auditmw.contrib.datapunt.logger import AUDIT_LOGGER_NAME, AuditLogger
from auditmw.contrib.datapunt.problems import problems

__all__ = ["AUDIT_LOGGER_NAME", "AuditLogFormatter", "AuditLogger", "problems"]
