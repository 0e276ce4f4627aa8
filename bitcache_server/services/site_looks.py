"""How the widget looks on a site: the snippet to paste says it, and the preview shows it.

The widget takes its look from the page it stands on (docs/widget.md); what is kept here goes
into the snippets that the dashboard shows, so that they need not be written by hand.
"""

import re
from dataclasses import dataclass

from sqlalchemy.orm import Session

from bitcache_server.domain.colours import read_colour, text_on
from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.i18n import mark as _
from bitcache_server.models.access import SiteLook
from bitcache_server.services.audit_trail import note
from bitcache_server.services.deps import Deps

THEMES = ("", "light", "dark")
#: By name; nothing is loaded from elsewhere.
FONTS: dict[str, str] = {
    "": "",
    "inherit": "inherit",
    "serif": "Georgia, 'Times New Roman', serif",
    "mono": "ui-monospace, Menlo, monospace",
    "rounded": "ui-rounded, 'Arial Rounded MT Bold', system-ui, sans-serif",
}
MAX_RADIUS_PX = 32
_NUMBER = re.compile(r"[0-9]{1,3}", re.ASCII)


@dataclass(frozen=True)
class Look:
    """How the widget looks; empty is its own look."""

    theme: str = ""
    accent: str = ""
    radius_px: int | None = None
    font: str = ""

    def properties(self) -> dict[str, str]:
        """Return the CSS properties of ``bitcache-paywall`` that say it."""
        found = {}
        if self.accent:
            found["--bitcache-accent"] = self.accent
            found["--bitcache-on-accent"] = text_on(self.accent)
        if self.radius_px is not None:
            found["--bitcache-radius"] = f"{self.radius_px}px"
        if self.font:
            found["--bitcache-font"] = FONTS[self.font]
        return found

    def css(self) -> str:
        """Return the rule to paste into a site's style sheet; empty for the widget's own look."""
        lines = [f"  {name}: {value};" for name, value in self.properties().items()]
        return "\n".join(["bitcache-paywall {", *lines, "}"]) if lines else ""


def read_look(theme: str, accent: str, radius_px: str, font: str) -> Look:
    """Return the look that a form says; raise InvalidRequest."""
    if theme not in THEMES:
        raise InvalidRequest(_("The theme is light or dark, or follows the reader's system."))
    if font not in FONTS:
        raise InvalidRequest(_("Choose one of the fonts."))
    radius = radius_px.strip()
    if radius and (not _NUMBER.fullmatch(radius) or int(radius) > MAX_RADIUS_PX):
        raise InvalidRequest(
            _("Corners are rounded by 0 to %(number)s pixels."), number=MAX_RADIUS_PX
        )
    return Look(theme, read_colour(accent), int(radius) if radius else None, font)


def look_of(session: Session, site_id: str) -> Look:
    """Return how the widget looks on a site. Only reads."""
    row = session.get(SiteLook, site_id)
    return Look(row.theme, row.accent, row.radius_px, row.font) if row else Look()


def change_look(
    deps: Deps, session: Session, merchant_id: str, account_id: str, site_id: str, look: Look
) -> None:
    """Keep a look for a site of the merchant. Runs in the caller's transaction."""
    row = session.get(SiteLook, site_id) or SiteLook(site_id=site_id)
    row.theme, row.accent, row.radius_px, row.font = (
        look.theme,
        look.accent,
        look.radius_px,
        look.font,
    )
    session.add(row)
    session.flush()
    note(
        deps,
        session,
        "site.look_changed",
        merchant_id=merchant_id,
        account_id=account_id,
        subject=site_id,
        theme=look.theme,
        accent=look.accent,
    )
