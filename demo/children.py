"""Programs that the demo starts: ended by their own id, and reported when they end early."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_TIMEOUT_S = 60
#: For a program that does its work and ends.
WORK_TIMEOUT_S = 180
LOG_TAIL_LINES = 15


class ChildDied(Exception):
    """A program that the demo needs has ended by itself."""


class Child:
    """One program with its log file, in a process group of its own.

    The group keeps Ctrl-C in the terminal away from it, so that the demo decides
    the order in which things stop; and it takes the program's workers along.
    """

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own program and arguments
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise ChildDied with the end of the log when the program has ended."""
        status = self._process.poll()
        if status is not None:
            raise ChildDied(f"{self.name} has ended (status {status}):\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the last lines that the program printed."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LOG_TAIL_LINES:]) or "    (no output)"

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def wait(self, timeout_s: float = WORK_TIMEOUT_S) -> None:
        """Return when it has ended well by itself; raise ChildDied when it ended badly."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ChildDied(f"{self.name} did not end within {timeout_s:g} s.") from None
        if status:
            self.check()

    def kill(self) -> None:
        """End it and its group with SIGKILL, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end, wait, and end what is left of its group."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        # Nothing should be left of the group; what is, must not outlive the demo.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
