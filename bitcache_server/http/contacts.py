"""Notice that a site's server or page has called, after its answer is made."""

from flask import Flask, Response, g, request

from bitcache_server.domain.errors import BitcacheError
from bitcache_server.http.context import deps, page_origin, session
from bitcache_server.services.items import site_of
from bitcache_server.services.site_contacts import Contact, is_due, write_down

#: How GET /v1/items/{id} tells a page of the site from a page that is none.
_READ_ITEM = "read_item"


def called(contact: Contact) -> None:
    """Remember who makes this request."""
    g.setdefault("contacts", []).append(contact)


def register(app: Flask) -> None:
    """Write down who called, now and then, when the answer is there."""

    @app.after_request
    def _keep(response: Response) -> Response:
        if response.status_code < 500:
            _notice_page(response.status_code)
            for contact in g.get("contacts", ()):
                if is_due(deps(), contact):
                    write_down(deps(), session(), contact)
        return response


def _notice_page(status: int) -> None:
    origin = page_origin()
    if request.endpoint != _READ_ITEM or origin is None or status not in (200, 403):
        return
    try:
        site_id = site_of(deps(), session(), (request.view_args or {})["item_id"])
    except BitcacheError:
        # Refused before anybody looked whether there is such an item.
        return
    called(Contact("widget" if status == 200 else "refused", site_id, origin))
