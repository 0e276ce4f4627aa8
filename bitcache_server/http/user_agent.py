"""Words for a browser, such as “Firefox on Linux”, for the reader's list of devices."""

from flask import request

UNKNOWN = "A browser"
#: The first mark that is found names it: others carry the marks of those below them.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)


def device_label() -> str:
    """Return what the caller's browser says that it is."""
    agent = request.headers.get("User-Agent", "")
    browser = _first(_BROWSERS, agent) or UNKNOWN
    system = _first(_SYSTEMS, agent)
    return f"{browser} on {system}" if system else browser


def _first(marks: tuple[tuple[str, str], ...], agent: str) -> str | None:
    return next((name for mark, name in marks if mark in agent), None)
