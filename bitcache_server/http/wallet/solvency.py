"""The proof of solvency: a reader finds their own balance in the published total."""

from flask import Blueprint, Response

from bitcache_server.domain.errors import NotFound, SignInRequired
from bitcache_server.http.answers import json_answer
from bitcache_server.http.context import session
from bitcache_server.http.errors import problem_response
from bitcache_server.http.wallet.cookie import holder, require_holder
from bitcache_server.http.wallet.look import page
from bitcache_server.services.solvency import newest_report, proof_of, report_view


def add_routes(pages: Blueprint) -> None:
    """Add the page and the proof behind it."""
    pages.add_url_rule("/solvency", view_func=show_solvency)
    pages.add_url_rule("/solvency/proof", view_func=own_proof)


def show_solvency() -> Response:
    """Show the published figures; a script checks the reader's own part of them."""
    try:
        report = report_view(newest_report(session()))
    except NotFound:
        report = None
    return page("solvency.html", scripts=True, report=report, signed_in=holder() is not None)


def own_proof() -> Response:
    """Return the leaf of the reader who asks, and its path to the root; errors as JSON, too."""
    try:
        return json_answer(proof_of(session(), require_holder().wallet_id))
    except (NotFound, SignInRequired) as error:
        return problem_response(error)
