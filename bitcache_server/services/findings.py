"""What the doctor finds: one thing that was checked, and how to mend it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.exc import SQLAlchemyError

from bitcache_server.domain.errors import BitcacheError

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One check: its name, how bad it is, a stable code, what was found, how to mend it."""

    name: str
    level: Level
    code: str
    found: str
    mend: str = ""

    @property
    def ok(self) -> bool:
        """Return whether readers can be served all the same."""
        return self.level != "problem"


Check = Callable[[], Iterator[Finding]]


def fine(name: str, found: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(name, "ok", "ok", found)


def warning(name: str, code: str, found: str, mend: str) -> Finding:
    """Return a finding that may be meant so."""
    return Finding(name, "warning", code, found, mend)


def problem(name: str, code: str, found: str, mend: str) -> Finding:
    """Return a finding that keeps readers from paying or reading, or that is dangerous."""
    return Finding(name, "problem", code, found, mend)


def guarded(name: str, check: Check) -> Iterator[Finding]:
    """Yield what a check finds; an error on the way is a finding, too. Never raises those."""
    try:
        yield from check()
    except BitcacheError as error:
        yield problem(name, error.code, error.detail, "Mend this first, then run it again.")
    except SQLAlchemyError as error:
        found = f"The database refused ({type(error).__name__})."
        yield problem(name, "storage_error", found, "Look at `bitcache db check`.")
    except OSError as error:
        found = f"{error.filename or 'The system'}: {error.strerror or type(error).__name__}."
        yield problem(name, "system_error", found, "Look at permissions and the disk.")
