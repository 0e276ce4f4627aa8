"""Names and texts as people give them: any Unicode, but storable and showable."""

import re

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.i18n import mark as _

MAX_NAME_CHARS = 200
#: What a spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = re.compile(r"(?:^|(?<=[;\t\r\n]))(?=[ ]*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])")


def check_text(text: str, what: str) -> str:
    """Return the text; raise InvalidRequest where a database could not keep it.

    PostgreSQL stores no null byte and neither engine stores half a surrogate pair.
    """
    if "\x00" in text:
        raise InvalidRequest(_("%(what)s contains a null byte."), what=what)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(
            _("%(what)s contains half a character (a lone surrogate)."), what=what
        ) from None
    return text


def check_name(text: str, what: str, max_chars: int = MAX_NAME_CHARS) -> str:
    """Return a one-line name without outer spaces; raise InvalidRequest when it is none."""
    name = check_text(text, what).strip()
    if not name:
        raise InvalidRequest(_("%(what)s is empty."), what=what)
    if len(name) > max_chars:
        raise InvalidRequest(
            _("%(what)s is longer than %(number)s characters."), what=what, number=max_chars
        )
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise InvalidRequest(_("%(what)s contains a control character."), what=what)
    return name


def table_cell(text: str) -> str:
    """Return a text that no spreadsheet runs when it opens a table: merchants write titles.

    Where commas are for decimals, spreadsheets begin another cell after each semicolon.
    """
    return _FORMULA.sub("'", text)
