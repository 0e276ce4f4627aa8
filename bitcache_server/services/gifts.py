"""The gift: starter credit for a reader who has nothing yet, at the operator's cost.

Three limits hold together: a budget for each UTC day, a number for each block of
addresses within 24 hours, and a proof of work. docs/decisions.md says what they stop
and what they do not.
"""

import hashlib
import hmac
import ipaddress
import json
import secrets
from dataclasses import dataclass

import altcha
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bitcache_server.domain.clock import SECONDS_PER_DAY
from bitcache_server.domain.errors import GiftUnavailable, ProofOfWorkInvalid, UnknownWallet
from bitcache_server.domain.money import MSAT_PER_SAT
from bitcache_server.ledger import recipes
from bitcache_server.ledger.wallet_recipes import lock_wallet
from bitcache_server.models.session import write_transaction
from bitcache_server.models.upsert import insert_missing
from bitcache_server.models.wallets import Gift, GiftDay
from bitcache_server.services.deps import Deps
from bitcache_server.services.one_time_codes import Purpose, use_once
from bitcache_server.services.wallets import create_wallet

WORK = Purpose("gift_work", 600)
#: PBKDF2, because a browser computes it in its own machine code: what takes a phone a
#: second takes a farm's computer not much less. SHA-256 by itself is a thousand times
#: faster outside of a browser.
ALGORITHM = "PBKDF2/SHA-256"
#: Iterations of one attempt: 2 to 20 ms in a browser, 2 ms for us to make a challenge.
ATTEMPT_COST = 5_000
_ADDRESS_SALT = b"bitcache.gift.address.v1|"
_WORK_SALT = b"bitcache.gift.work.v1|"
_ANSWER_SALT = b"bitcache.gift.answer.v1|"
_NOT_SOLVED = "The proof of work is wrong, over, or was used before. Try again."


@dataclass(frozen=True)
class GiftTaken:
    """What was given, and to whom."""

    wallet_id: str
    is_new_wallet: bool
    gift_msat: int


def gift_on_offer_msat(deps: Deps, session: Session, wallet_id: str | None = None) -> int:
    """Return what a reader is given now, in msat; 0 when nothing is, or this wallet had its gift.

    Only reads. The caller's address is looked at when the gift is taken.
    """
    gift_msat = deps.settings.gift_sat * MSAT_PER_SAT
    if not gift_msat or (wallet_id is not None and _had_gift(session, wallet_id)):
        return 0
    query = select(GiftDay.given_msat).where(GiftDay.day == deps.clock() // SECONDS_PER_DAY)
    given_msat = session.scalar(query) or 0
    return gift_msat if given_msat + gift_msat <= _budget_msat(deps) else 0


def new_gift_challenge(deps: Deps, session: Session, wallet_id: str | None, address: str) -> str:
    """Return an ALTCHA challenge (https://altcha.org/docs/v2/) as JSON; writes nothing.

    Raises GiftUnavailable, so that nobody works for nothing.
    """
    _require_offer(deps, session, wallet_id)
    _require_address(deps, session, address_hash(deps, address))
    cost, attempts = _work(deps)
    challenge = altcha.create_challenge(
        ALGORITHM,
        cost,
        # The answer is drawn beforehand: so the work has an end, and pages can show how far.
        counter=secrets.randbelow(2 * attempts),
        # ALTCHA's own expiry asks the system's clock; ours is the server's.
        data={"made_at": deps.clock(), "attempts": 2 * attempts},
        hmac_secret=_key(deps, _WORK_SALT),
        hmac_key_secret=_key(deps, _ANSWER_SALT),
    )
    return json.dumps(challenge.to_dict())


def take_gift(
    deps: Deps, session: Session, wallet_id: str | None, address: str, solution: str
) -> GiftTaken:
    """Give a wallet its gift, or a new wallet when there is none.

    ``address`` is the reader's IP address; ``solution`` is ALTCHA's payload in base64.
    Raises ProofOfWorkInvalid, GiftUnavailable, UnknownWallet for one that is deleted.
    """
    # Locked, so that it is not deleted while the gift is on its way.
    if wallet_id is not None and lock_wallet(session, wallet_id).closed_at is not None:
        raise UnknownWallet()
    gift_msat = _require_offer(deps, session, wallet_id)
    _use_work(deps, session, solution)
    block_hash = address_hash(deps, address)
    _take_from_budget(deps, session, gift_msat)
    # From here on all other gifts wait for this one, so that the count below is true.
    _require_address(deps, session, block_hash)
    taken_by = wallet_id or create_wallet(deps, session).id
    gift = {"address_hash": block_hash, "amount_msat": gift_msat, "created_at": deps.clock()}
    if not insert_missing(session, Gift, wallet_id=taken_by, **gift):
        raise GiftUnavailable("This wallet has had its gift.")
    recipes.give_starter_credit(session, taken_by, gift_msat, deps.clock())
    return GiftTaken(taken_by, wallet_id is None, gift_msat)


def forget_gift_addresses(deps: Deps, session: Session) -> int:
    """Empty the address hashes that no limit needs; return how many. Opens its transaction."""
    old = (Gift.address_hash != "", Gift.created_at < deps.clock() - SECONDS_PER_DAY)
    emptied = update(Gift).where(*old).values(address_hash="").returning(Gift.wallet_id)
    with write_transaction(session):
        return len(session.execute(emptied).all())


def address_hash(deps: Deps, address: str) -> str:
    """Return the keyed hash of the block that an address lies in: IPv4 /24, IPv6 /48.

    Those are what one customer can easily have many addresses of (RFC 6177). Without
    the key nobody can work out the address from the hash.
    """
    key = _key(deps, _ADDRESS_SALT)
    return hmac.new(key, _block(address).encode(), hashlib.sha256).hexdigest()


def _block(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        # A listener on a socket file has no address; all its readers share one block.
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ipaddress.ip_network((parsed, 48), strict=False))
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, 24), strict=False))


def _key(deps: Deps, salt: bytes) -> bytes:
    secret_key = deps.settings.secret_key.get_secret_value()
    return hmac.new(secret_key.encode(), salt, hashlib.sha256).digest()


def _budget_msat(deps: Deps) -> int:
    return deps.settings.gift_budget_sat_per_day * MSAT_PER_SAT


def _had_gift(session: Session, wallet_id: str) -> bool:
    return session.scalar(select(Gift.wallet_id).where(Gift.wallet_id == wallet_id)) is not None


def _require_offer(deps: Deps, session: Session, wallet_id: str | None) -> int:
    gift_msat = gift_on_offer_msat(deps, session, wallet_id)
    if gift_msat:
        return gift_msat
    if wallet_id is not None and _had_gift(session, wallet_id):
        raise GiftUnavailable("This wallet has had its gift.")
    raise GiftUnavailable("All gifts of today are given. Come back tomorrow, or add money.")


def _require_address(deps: Deps, session: Session, block_hash: str) -> None:
    """Raise GiftUnavailable when the block had its gifts; closed wallets count as well."""
    lately = (Gift.address_hash == block_hash, Gift.created_at > deps.clock() - SECONDS_PER_DAY)
    count = session.scalar(select(func.count()).select_from(Gift).where(*lately)) or 0
    if count >= deps.settings.gifts_per_address:
        raise GiftUnavailable(
            "Your network has had its gifts of today. Come back tomorrow, or add money."
        )


def _work(deps: Deps) -> tuple[int, int]:
    """Return the iterations of one attempt and how many attempts it takes on average."""
    cost = min(ATTEMPT_COST, deps.settings.gift_work)
    return cost, max(1, deps.settings.gift_work // cost)


def _use_work(deps: Deps, session: Session, solution: str) -> None:
    verified = altcha.verify_solution(
        solution, _key(deps, _WORK_SALT), hmac_key_secret=_key(deps, _ANSWER_SALT)
    )
    if not verified.verified:
        raise ProofOfWorkInvalid(_NOT_SOLVED)
    parameters = altcha.Payload.from_base64(solution).challenge.parameters
    made_at = int((parameters.data or {})["made_at"])
    # The same challenge can be written in many ways; its signed nonce is one.
    if not use_once(deps, session, WORK, f"{parameters.nonce}.{parameters.salt}", made_at):
        raise ProofOfWorkInvalid(_NOT_SOLVED)


def _take_from_budget(deps: Deps, session: Session, gift_msat: int) -> None:
    """Count a gift against today's budget, in one statement; raise GiftUnavailable."""
    today = deps.clock() // SECONDS_PER_DAY
    # Around midnight two processes may stand in two days: both lock both rows in order.
    for day in (today - 1, today):
        insert_missing(session, GiftDay, day=day, given_msat=0)
    both = select(GiftDay.day).where(GiftDay.day.in_((today - 1, today)))
    session.execute(both.order_by(GiftDay.day).with_for_update())
    counted = (
        update(GiftDay)
        .where(GiftDay.day == today, GiftDay.given_msat + gift_msat <= _budget_msat(deps))
        .values(given_msat=GiftDay.given_msat + gift_msat)
        .returning(GiftDay.day)
    )
    if session.execute(counted).first() is None:
        raise GiftUnavailable("All gifts of today are given. Come back tomorrow, or add money.")
