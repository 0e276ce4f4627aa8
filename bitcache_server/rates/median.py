"""The median of what several sources say, which neither waits long nor raises."""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from statistics import median

from bitcache_server.domain.clock import Clock
from bitcache_server.domain.errors import BitcacheError
from bitcache_server.domain.money import check_rate
from bitcache_server.rates.base import Rate, RateSource, RateSourceError

DEADLINE_S = 5.0
#: Answers farther than this from the median of all are left out.
MAX_DEVIATION = Decimal("0.2")
#: Prices are kept with this many significant digits, rounded half to even.
_DIGITS = Context(prec=20)

#: What a source brought: its position and a price or a reason.
Answer = tuple[int, Decimal | str]


@dataclass(frozen=True)
class Asked:
    """The rate, or None, and why each source that is not part of it is not."""

    rate: Rate | None
    problems: tuple[str, ...]


def fetch_median(
    sources: Sequence[RateSource],
    currency: str,
    clock: Clock,
    *,
    deadline_s: float = DEADLINE_S,
    min_answers: int = 1,
) -> Asked:
    """Ask all sources at the same time and return the median of the sane answers.

    Never raises and returns after ``deadline_s`` at the latest, whatever the
    sources do; a late one is left behind. The outlier guard compares with the
    median of all answers. When the sources contradict each other so much that
    none is near it (of two, one says 100 and the other 151), there is no rate:
    nobody can tell who is right, and the caller's last good rate is the better one.
    """
    answers = dict(_collect(sources, currency, deadline_s))
    prices = {i: answer for i, answer in answers.items() if isinstance(answer, Decimal)}
    near = _without_outliers(prices)
    problems = tuple(
        f"{_name(source)}: {_reason(answers.get(i), deadline_s)}"
        for i, source in enumerate(sources)
        if i not in near
    )
    if len(near) < max(1, min_answers):
        return Asked(None, (*problems, f"{len(near)} usable answers of {max(1, min_answers)}"))
    # Written out and read again, so that its text never has the form 1E+5.
    price = Decimal(f"{_DIGITS.plus(median(near.values())):f}")
    names = tuple(_name(sources[i]) for i in sorted(near))
    return Asked(Rate(currency, price, clock(), names), problems)


def _collect(sources: Sequence[RateSource], currency: str, deadline_s: float) -> Iterator[Answer]:
    """Yield answers as they come, until all are in or the time is over."""
    inbox: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    ends_at = time.monotonic() + deadline_s
    for i, source in enumerate(sources):

        def work(i: int = i, source: RateSource = source) -> None:
            inbox.put((i, _ask(source, currency)))

        try:
            # Daemons: a source that hangs must not keep the process from ending.
            threading.Thread(target=work, name=f"rate-{i}", daemon=True).start()
        except RuntimeError:
            inbox.put((i, "failed: no thread is left"))
    for _ in sources:
        try:
            yield inbox.get(timeout=max(0.0, ends_at - time.monotonic()))
        except queue.Empty:
            return


def _ask(source: RateSource, currency: str) -> Decimal | str:
    """Return a believable price or the reason why there is none."""
    try:
        return check_rate(Decimal(source.fetch(currency)))
    except (RateSourceError, BitcacheError) as error:
        return str(error)[:200]
    except Exception as error:  # A source may be anybody's code: no fault of it may spread.
        return f"failed: {type(error).__name__}"


def _without_outliers(prices: dict[int, Decimal]) -> dict[int, Decimal]:
    if not prices:
        return {}
    middle = median(prices.values())
    limit = middle * MAX_DEVIATION
    return {i: price for i, price in prices.items() if abs(price - middle) <= limit}


def _reason(answer: Decimal | str | None, deadline_s: float) -> str:
    if answer is None:
        return f"gave no answer within {deadline_s:g} s"
    if isinstance(answer, Decimal):
        return f"{answer:f} is too far from the others"
    return answer


def _name(source: RateSource) -> str:
    return str(getattr(source, "name", "unnamed"))[:40]
