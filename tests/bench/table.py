"""What a benchmark says, and how it is printed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """A figure, its yardstick, and the ratio of the two."""

    what: str
    figure: str
    yardstick: str
    ratio: float
    budget: str


def in_turns(*measurements: Callable[[], float]) -> list[float]:
    """Run the measurements in turns and return the median of each."""
    rounds = [[measure() for measure in measurements] for _ in range(ROUNDS)]
    return [median(column) for column in zip(*rounds, strict=True)]


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| What | Figure | Yardstick | Ratio | Budget |", "|---|---|---|---|---|"]
    lines += [
        f"| {r.what} | {r.figure} | {r.yardstick} | {r.ratio:.2f} | {r.budget} |" for r in rows
    ]
    return "\n".join(lines)
