"""/dashboard/<merchant>/sites/<site>/preview: the widget's look, its preview and the snippet.

The preview is a page of ours in a frame of the site's page: the real widget with an item of the
site, under a policy that allows our own files alone and frames of our own pages alone.
"""

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from bitcache_server.domain.errors import InvalidRequest
from bitcache_server.http.account.access import require_member
from bitcache_server.http.context import deps, session
from bitcache_server.http.dashboard.look import page
from bitcache_server.http.headers import page_policy
from bitcache_server.i18n import mark as _
from bitcache_server.models.catalog import Site
from bitcache_server.services.members import OWNERS
from bitcache_server.services.merchants import site_of_merchant
from bitcache_server.services.site_changes import sample_item
from bitcache_server.services.site_looks import (
    FONTS,
    MAX_RADIUS_PX,
    Look,
    look_of,
    read_look,
)

FIELDS = ("theme", "accent", "radius_px", "font")
THEME_WORDS: dict[str, str] = {
    "": _("as the reader's system"),
    "light": _("light"),
    "dark": _("dark"),
}
FONT_WORDS: dict[str, str] = {
    "": _("the widget's own"),
    "inherit": _("the one of the page"),
    "serif": _("with serifs"),
    "mono": _("of a typewriter"),
    "rounded": _("rounded"),
}


def add_routes(pages: Blueprint) -> None:
    """Add the preview."""
    one = "/<merchant_id>/sites/<site_id>"
    pages.add_url_rule(f"{one}/preview", "preview", preview)
    pages.add_url_rule(f"{one}/preview.css", "preview_css", preview_css)


def look_of_form() -> Look:
    """Return the look that a form says; raise InvalidRequest."""
    return read_look(*(request.form.get(name, "") for name in FIELDS))


def look_context(site: Site) -> dict[str, Any]:
    """Return what the part about looks shows: as it is kept, or as the query proposes it."""
    shown = _proposed(site.id)
    values = {name: getattr(shown, name) for name in FIELDS}
    values["radius_px"] = "" if shown.radius_px is None else shown.radius_px
    return {
        "look": shown,
        "look_fields": values,
        "preview_query": urlencode(values),
        "item": sample_item(session(), site.id),
        "themes": THEME_WORDS,
        "fonts": FONT_WORDS,
        "font_values": FONTS,
        "max_radius_px": MAX_RADIUS_PX,
        "public_url": deps().settings.public_url,
    }


def preview(merchant_id: str, site_id: str) -> ResponseReturnValue:
    """Show the widget alone, for the frame of the site's page."""
    require_member(merchant_id, OWNERS)
    site = site_of_merchant(session(), merchant_id, site_id)
    return page(
        "dashboard/preview.html",
        headers={"Content-Security-Policy": page_policy(scripts=True, framed=True)},
        **look_context(site),
    )


def preview_css(merchant_id: str, site_id: str) -> Response:
    """Return the look as a style sheet: the page's policy allows no style in the page."""
    require_member(merchant_id, OWNERS)
    site = site_of_merchant(session(), merchant_id, site_id)
    return Response(_proposed(site.id).css(), content_type="text/css; charset=utf-8")


def _proposed(site_id: str) -> Look:
    if "accent" in request.args:
        try:
            return read_look(*(request.args.get(name, "") for name in FIELDS))
        except InvalidRequest:
            # Shown as it is kept; the form itself says what is wrong when it is sent.
            pass
    return look_of(session(), site_id)
