"""A month's statement as a PDF, in the language of whoever asks for it."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from babel.dates import format_date, format_datetime, format_skeleton
from babel.numbers import format_decimal

from bitcache_server.delivery.pdf import Column, Document
from bitcache_server.domain.money import CURRENCY_EXPONENTS, exponent_of
from bitcache_server.i18n import day_pattern, direction, translations
from bitcache_server.services.deps import Deps
from bitcache_server.services.local_days import zone_of
from bitcache_server.services.monthly import DayOfMonth, MonthlyStatement, Turnover

Words = Callable[[str], str]


def statement_pdf(deps: Deps, statement: MonthlyStatement, language: str) -> bytes:
    """Return the file. Amounts are in sats with three decimals: exact to the msat."""
    _ = translations(language).ugettext
    month = format_skeleton("yMMMM", statement.first_day, locale=language)
    document = Document(
        _("Statement for %(month)s") % {"month": month},
        language=language,
        direction=direction(language),
        made_at=deps.clock(),
    )
    with document:
        _write(document, deps, statement, language)
        return document.finish()


def _write(document: Document, deps: Deps, statement: MonthlyStatement, language: str) -> None:
    _ = translations(language).ugettext
    document.facts(_facts(deps, statement, language, _))
    if not statement.is_over:
        document.paragraph(_("The month is not over. This is what there is of it."), muted=True)
    document.heading(_("Balance"))
    document.table(
        [Column(_("What"), share=2.6), Column(_("Sats"), is_number=True)],
        [
            (words, _sats(amount, language))
            for words, amount in _lines(statement.turnover, statement.opening_msat, _)
        ],
        totals=[(_("Closing balance"), _sats(statement.closing_msat, language))],
    )
    document.paragraph(
        _(
            "A refund or a payment that vanished counts in the month in which it happened,"
            " not in that of the sale."
        ),
        muted=True,
    )
    if statement.days:
        document.heading(_("Day by day"))
        document.table(_day_columns(_), [_day_row(day, language) for day in statement.days])


def _facts(
    deps: Deps, statement: MonthlyStatement, language: str, _: Words
) -> list[tuple[str, str]]:
    zone = zone_of(statement.time_zone) or UTC
    first, last = (
        format_datetime(
            datetime.fromtimestamp(at, zone),
            f"{day_pattern(language)}, HH:mm:ss xxx",
            locale=language,
        )
        for at in (statement.span.begin, statement.span.end - 1)
    )
    made_at = datetime.fromtimestamp(deps.clock(), zone)
    values = [
        _fiat(minor, currency, language)
        for currency, minor in statement.fiat_minor.items()
        if currency in CURRENCY_EXPONENTS
    ]
    found = [
        (_("Merchant"), statement.merchant_name),
        (_("From"), str(first)),
        (_("To"), str(last)),
        (_("Time zone"), statement.time_zone),
        (_("Sales"), str(format_decimal(statement.turnover.sales, locale=language))),
    ]
    if values:
        found.append((_("Value at the time of sale"), "\n".join(values)))
    written = format_datetime(made_at, f"{day_pattern(language)}, HH:mm xxx", locale=language)
    found.append((_("Written"), str(written)))
    return found


def _lines(turnover: Turnover, opening_msat: int, _: Words) -> list[tuple[str, int]]:
    """Return what stands between the two balances; what did not happen is left out."""
    lines = [
        (_("Sales"), turnover.sales_msat),
        (_("Commission"), turnover.commission_msat),
        (_("Shares of co-authors"), turnover.shares_out_msat),
        (_("Your shares of other merchants' sales"), turnover.shares_in_msat),
        (_("Refunds"), turnover.refunded_msat),
        (_("Payments that vanished"), turnover.reversed_msat),
        (_("Commission and shares that came back with them"), turnover.costs_back_msat),
        (_("Paid straight into your own wallet"), turnover.own_wallet_msat),
        (_("Payouts, with their network fees"), turnover.payouts_msat),
        (_("Corrections by the operator"), turnover.other_msat),
    ]
    happened = [(words, amount) for words, amount in lines if amount]
    return [(_("Opening balance"), opening_msat), *happened]


def _day_columns(_: Words) -> list[Column]:
    return [
        Column(_("Day"), share=1.3),
        Column(_("Number"), is_number=True, share=0.9),
        Column(_("Sales"), is_number=True, share=1.4),
        Column(_("Commission and shares"), is_number=True, share=1.4),
        Column(_("Taken back"), is_number=True, share=1.3),
        Column(_("Payouts and other"), is_number=True, share=1.5),
        Column(_("Balance"), is_number=True, share=1.5),
    ]


def _day_row(day: DayOfMonth, language: str) -> list[str]:
    turnover = day.turnover
    amounts = (
        turnover.sales_msat,
        turnover.commission_msat + turnover.shares_out_msat + turnover.shares_in_msat,
        turnover.refunded_msat + turnover.reversed_msat + turnover.costs_back_msat,
        turnover.own_wallet_msat + turnover.payouts_msat + turnover.other_msat,
        day.closing_msat,
    )
    return [
        str(format_date(day.day, day_pattern(language), locale=language)),
        str(format_decimal(turnover.sales, locale=language)),
        *(_sats(amount, language) for amount in amounts),
    ]


def _sats(amount_msat: int, language: str) -> str:
    return str(format_decimal(Decimal(amount_msat).scaleb(-3), "#,##0.000", locale=language))


def _fiat(amount_minor: int, currency: str, language: str) -> str:
    """Return an amount with all decimals of its currency and its code, as on every page."""
    exponent = exponent_of(currency)
    pattern = f"#,##0.{'0' * exponent}" if exponent else "#,##0"
    major = Decimal(amount_minor).scaleb(-exponent)
    return f"{format_decimal(major, pattern, locale=language)} {currency}"
