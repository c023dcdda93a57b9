"""Log lines: one form for every process, and no secret in any of them."""

import logging
import re
import time

SECRETS = re.compile(
    r"""
    (?P<shown> \b(?:tank|sk|rk|pk|whsec)[_-][A-Za-z0-9]{2,4}      # keys: ours and providers', by their beginning
             | \b(?:Bearer|Basic)\s+
             | (?:authorization|x-api-key|api[_-]?key|password|passwd|secret|token)["']?\s*[=:]\s*["']?
               (?:Bearer\s+|Basic\s+)?
             | ://[^\s:/@]*:(?=[^\s/@]+@) )                  # the password in a URL
    [^\s"',;&@]{6,}
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return the text with everything that looks like a secret cut out."""
    return SECRETS.sub(lambda match: f"{match['shown']}…", text)


class Formatter(logging.Formatter):
    """Time in UTC, level, logger and what happened, with secrets cut out."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Format one record, with its traceback where it has one."""
        return redact(super().format(record))
