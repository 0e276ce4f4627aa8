"""POST /wallet/gift/challenge and /wallet/gift, as static/wallet/gift.js calls them."""

import json
from typing import Annotated

from flask import Blueprint, Response, request
from pydantic import Field

from bitcache_server.http.answers import json_answer
from bitcache_server.http.body import Body, read_json
from bitcache_server.http.context import deps, session
from bitcache_server.http.forms import same_origin
from bitcache_server.http.user_agent import device_label
from bitcache_server.http.wallet.cookie import holder, sign_in
from bitcache_server.services.gifts import GiftTaken, new_gift_challenge, take_gift
from bitcache_server.services.once import in_transaction
from bitcache_server.services.wallets import Holder, open_session


class ChallengeBody(Body):
    """Nothing: a body of JSON is what forms of other sites cannot send."""


class GiftBody(Body):
    """The solved challenge, as ALTCHA's payload: JSON in base64."""

    payload: Annotated[str, Field(max_length=4_000)]


def add_routes(pages: Blueprint) -> None:
    """Add the two calls."""
    pages.add_url_rule("/gift/challenge", "gift_challenge", challenge, methods=["POST"])
    pages.add_url_rule("/gift", "gift", take, methods=["POST"])


def challenge() -> Response:
    """Return a proof of work to do."""
    same_origin()
    read_json(ChallengeBody)
    known = holder()
    wallet_id = known.wallet_id if known else None
    return json_answer(new_gift_challenge(deps(), session(), wallet_id, _address()))


def take() -> Response:
    """Give the gift; a browser without a wallet gets one with it."""
    same_origin()
    body, known = read_json(GiftBody), holder()
    taken, cookie = in_transaction(session(), lambda: _take(body, known))
    response = json_answer(json.dumps({"gift_msat": taken.gift_msat}), 201)
    if cookie is not None:
        sign_in(response, cookie)
    return response


def _take(body: GiftBody, known: Holder | None) -> tuple[GiftTaken, str | None]:
    wallet_id = known.wallet_id if known else None
    taken = take_gift(deps(), session(), wallet_id, _address(), body.payload)
    if not taken.is_new_wallet:
        return taken, None
    label = device_label()
    return taken, open_session(deps(), session(), taken.wallet_id, label, verified=False)


def _address() -> str:
    return request.remote_addr or ""
