"""In which language a page is shown, and the words, numbers and times of that language.

The first of these that we speak: ``?lang=``, the cookie that remembers it, the account's
own choice, ``Accept-Language``. Templates get ``_``, ``ngettext``, ``language``, ``dir`` and
the filters below.
"""

from datetime import UTC, datetime
from urllib.parse import urlencode

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from flask import Flask, Response, request

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.http.context import deps, kept
from bitcache_server.i18n import LANGUAGES, SOURCE, day_pattern, direction, translations

COOKIE = "bitcache_lang"
_COOKIE_AGE_S = 400 * 86_400


def language() -> str:
    """Return the language of this request's page."""
    if "language" not in kept():
        kept()["language"] = _wanted(request.args.get("lang")) or _remembered()
    return str(kept()["language"])


def prefer(locale: str | None) -> None:
    """Use the account's own language, unless this browser has chosen another."""
    chosen = _wanted(request.args.get("lang")) or _wanted(request.cookies.get(COOKIE))
    if chosen is None and _wanted(locale):
        kept()["language"] = locale


def keep_source() -> None:
    """Show this request's page in the language of the sources: it has no other words yet."""
    kept()["language"], kept()["is_kept"] = SOURCE, True


def gettext(message: str, **values: object) -> str:
    """Return a message in the language of the page, with ``%(name)s`` filled in."""
    text = translations(language()).ugettext(message)
    return text % values if values else text


def ngettext(singular: str, plural: str, number: int, **values: object) -> str:
    """Return the form of a message for a number; ``%(num)s`` is the number as people write it."""
    text = translations(language()).ungettext(singular, plural, number)
    return text % {"num": number_words(number), **values}


def said(error: BitcacheError) -> str:
    """Return why something was refused, in the language of the page where that is known."""
    values = dict(error.values)
    if "what" in values:
        values["what"] = gettext(str(values["what"]))
    return gettext(error.message, **values)


def number_words(number: int) -> str:
    """Return a whole number with the marks between thousands of the language."""
    return str(format_decimal(number, locale=language()))


def time_words(at: int) -> str:
    """Return seconds since 1970 as people read them; always UTC, and it says so."""
    moment = datetime.fromtimestamp(at, UTC)
    pattern = f"{day_pattern(language())}, HH:mm"
    return f"{format_datetime(moment, pattern, locale=language())} UTC"


def day_words(at: int) -> str:
    """Return the day of a time in seconds since 1970, in UTC."""
    day = datetime.fromtimestamp(at, UTC).date()
    return str(format_date(day, day_pattern(language()), locale=language()))


def remember(response: Response) -> Response:
    """Keep a language that was asked for by ``?lang=`` in this browser."""
    wanted = _wanted(request.args.get("lang"))
    if wanted:
        response.set_cookie(
            COOKIE,
            wanted,
            max_age=_COOKIE_AGE_S,
            secure=deps().settings.public_url.startswith("https:"),
            httponly=True,
            samesite="Lax",
        )
    return response


def language_link(code: str) -> str:
    """Return where this page is shown in another language: the rest of its query stays."""
    kept = [(n, v) for n, v in request.args.items(multi=True) if n not in ("lang", "done")]
    return f"?{urlencode([*kept, ('lang', code)])}"


def register(app: Flask) -> None:
    """Give templates the words of the page's language."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    # Jinja's own way to hand it the functions; the extension adds the method.
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        gettext=lambda text: translations(language()).ugettext(text),
        ngettext=lambda one, many, n: translations(language()).ungettext(one, many, n),
        newstyle=True,
    )
    app.add_template_filter(number_words)
    app.add_template_filter(time_words)
    app.add_template_filter(day_words)
    app.context_processor(
        lambda: {
            "language": language(),
            "dir": direction(language()),
            "languages": {} if kept().get("is_kept") else LANGUAGES,
            "language_link": language_link,
        }
    )


def _remembered() -> str:
    kept = _wanted(request.cookies.get(COOKIE))
    # `fr-CH` is French, also for a browser that does not say `fr` as well.
    accepted = (code.partition("-")[0].lower() for code in request.accept_languages.values())
    return kept or next((code for code in accepted if code in LANGUAGES), SOURCE)


def _wanted(code: str | None) -> str | None:
    return code if code in LANGUAGES else None
