"""HTTP calls to a node, with time limits and clear failures, for the backends that speak REST.

Every failure leaves as a RailError that repeats neither the secret nor the URL. Secrets are
sent in headers only, never to another address than the one in the settings, and never
through a proxy that the environment names.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from bitcache_server.domain.errors import (
    ConfigurationError,
    LightningCertificate,
    LightningPermission,
    LightningRejected,
    LightningUnauthorized,
    LightningUnreachable,
    RailError,
)
from bitcache_server.rails.lightning.backend import BackendSettings

T = TypeVar("T")

#: What a node says of itself is cut to this many characters.
_DETAIL_LENGTH = 200
#: Shorter ones could be words of the API itself.
_SHORTEST_SECRET = 8


class MissingAnswer(LightningRejected):
    """The node said in so many words that it has no such thing. Never leaves a backend."""


class Refusal(LightningRejected):
    """The node understood the call and refused it: it has done nothing."""


#: Makes an error of an answer that is none: HTTP status and body (JSON or text).
Judge = Callable[[int, Any], RailError]


class RestClient:
    """Calls to one node, from any number of threads. Constructing it connects to nothing.

    ``name`` is the backend's, for errors.
    """

    def __init__(
        self, name: str, settings: BackendSettings, *, schemes: tuple[str, ...], judge: Judge
    ) -> None:
        self._name = name
        self._base_url = _checked_url(settings.url, schemes)
        self._verify = _trust(settings.certificate)
        self._timeout_s = settings.timeout_s
        self._judge = judge
        self._secrets = frozenset(
            form
            for secret in (settings.secret, settings.payout_secret)
            for form in (secret, secret.rpartition(":")[2])
        )
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        read_s: float | None = None,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the JSON that the node answers.

        ``read_s`` is for calls that wait for something, in place of the time limit of the
        settings. Raises RailError.
        """
        with self._failures():
            response = self._open().request(
                method,
                path,
                headers=dict(headers),
                params=params,
                json=body,
                data=form,
                timeout=httpx.Timeout(self._timeout_s, read=read_s or self._timeout_s),
            )
        return self._read(response, headers)

    def probe(
        self,
        path: str,
        headers: Mapping[str, str],
        *,
        body: Any = None,
        form: Mapping[str, str] | None = None,
    ) -> None:
        """POST what cannot do anything, for the node looks at the secret first.

        Raises RailError, but not when the call was only refused: then the secret may do it.
        """
        try:
            self.ask("POST", path, headers, body=body, form=form)
        except LightningRejected:
            return

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        wait_s: float,
        params: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Iterator[Iterator[list[Any]]]:
        """Yield the JSON lines of an answer that goes on, as many at once as have arrived.

        It ends after ``wait_s`` without a line, which is no error: a node says nothing at
        all, not even its headers, before there is something to say. Raises RailError.
        """
        timeout = httpx.Timeout(self._timeout_s, read=max(wait_s, 0.001))
        client = self._open()
        with self._failures():
            request = client.build_request(
                method, path, headers=dict(headers), params=params, json=body, timeout=timeout
            )
            try:
                response = client.send(request, stream=True)
            except httpx.ReadTimeout:
                yield iter(())
                return
            with closing(response):
                if response.status_code >= 400:
                    response.read()
                    self._read(response, headers)
                yield json_lines(response, lambda line: self._without_secrets(line, headers))

    def close(self) -> None:
        """End all connections; a later call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    base_url=self._base_url,
                    verify=self._verify,
                    follow_redirects=False,
                    trust_env=False,
                )
            return self._client

    def _read(self, response: httpx.Response, headers: Mapping[str, str]) -> Any:
        body: Any
        content = self._without_secrets(response.content, headers)
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if body is None and _is_of_another(response):
            raise self._not_the_node(response)
        if response.status_code >= 400:
            words = content.decode("utf-8", "replace")
            raise self._judge(response.status_code, words if body is None else body)
        if body is None or response.status_code >= 300:
            raise self._not_the_node(response)
        return body

    def _not_the_node(self, response: httpx.Response) -> LightningRejected:
        """Say that something else answers. It may be a proxy, so it says nothing of the node."""
        path = response.request.url.path.removeprefix(urlsplit(self._base_url).path)
        status = response.status_code
        gave = f"HTTP status {status}" if status >= 300 else "no JSON"
        return LightningRejected(
            f"What answers at the node's address is not {self._name}: asked for "
            f"{path[:_DETAIL_LENGTH]}, it gave {gave}."
        )

    def _without_secrets(self, content: bytes, headers: Mapping[str, str]) -> bytes:
        """Return what the node said; some repeat what they were sent, and we pass words on."""
        sent = {word for value in headers.values() for word in value.split()}
        # The longest first: one may be a part of another.
        for secret in sorted(self._secrets | sent, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                content = content.replace(secret.encode(), b"(secret)")
        return content

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise LightningUnreachable("The node did not answer in time.") from None
        except httpx.TransportError as error:
            raise _of_transport(error) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise LightningUnreachable(
                f"The connection to the node failed ({type(error).__name__})."
            ) from None


def two_secrets(settings: BackendSettings, made: Callable[[str, str], T]) -> tuple[T, T | None]:
    """Return what is made of the secret that receives, and of the one that pays, if any.

    ``made`` takes a secret and the name of its setting, for its errors.
    """
    receives = made(settings.secret, "lightning_secret")
    if not settings.payout_secret:
        return receives, None
    return receives, made(settings.payout_secret, "lightning_payout_secret")


@contextmanager
def naming_payout_secret() -> Iterator[None]:
    """Say in the error which of the two secrets the node does not like."""
    try:
        yield
    except (LightningPermission, LightningUnauthorized) as error:
        raise type(error)(f"lightning_payout_secret: {error.detail}") from None


def _is_of_another(response: httpx.Response) -> bool:
    """Return whether a web page answers, or something that does not know the address.

    401 and 403 are left to the judge: a gate in front of the node may want another secret.
    """
    if response.status_code in (401, 403):
        return False
    text = response.text.strip()
    return text.startswith("<") or (response.status_code == 404 and not text)


def judge_by_status(status: int, body: Any) -> RailError:
    """Return the error for an answer whose status says all: 401, 403, 404, others."""
    if status == 401:
        return LightningUnauthorized("The node does not accept the secret.")
    if status == 403:
        return LightningPermission("The secret may not do this.")
    if status == 404:
        return MissingAnswer(said(body))
    return Refusal(said(body)) if status < 500 else LightningRejected(said(body))


def said(body: Any) -> str:
    """Return what the node said about an error, short and on one line."""
    text = body
    if isinstance(body, dict):
        inner = body.get("error", body)
        text = inner.get("message") if isinstance(inner, dict) else inner
    words = " ".join(str(text or "no reason given").split())
    return f"The node refused: {words[:_DETAIL_LENGTH]}"


def no_json() -> LightningRejected:
    """Return the error for an answer that is not of the API's form."""
    return LightningRejected("What answers at the node's address does not speak its API.")


@contextmanager
def well_formed() -> Iterator[None]:
    """Turn what reading an answer of another form raises into LightningRejected."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise no_json() from None


def json_lines(
    response: httpx.Response, cleaned: Callable[[bytes], bytes] = bytes
) -> Iterator[list[Any]]:
    """Yield the lines of JSON as they arrive, ``cleaned``, however they are cut on the way."""
    rest = b""
    try:
        for chunk in response.iter_bytes():
            *lines, rest = (rest + chunk).split(b"\n")
            yield [_parsed(cleaned(line)) for line in lines if line.strip()]
    except httpx.ReadTimeout:
        return
    if rest.strip():
        yield [_parsed(cleaned(rest))]


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise no_json() from None


def _of_transport(error: httpx.TransportError) -> RailError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return LightningCertificate(
                "The node's certificate is not the expected one: "
                f"{cause.verify_message.rstrip('.')}."
            )
        if isinstance(cause, ssl.SSLError):
            return LightningCertificate("What answers at the node's address does not speak TLS.")
        if isinstance(cause, ConnectionRefusedError):
            return LightningUnreachable("Nothing listens at the node's address.")
        cause = cause.__cause__ or cause.__context__
    return LightningUnreachable(f"The connection to the node failed ({type(error).__name__}).")


def _checked_url(url: str, schemes: tuple[str, ...]) -> str:
    """Return the URL without a slash at its end; never repeat it in an error."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.scheme not in schemes or parts.query or parts.fragment:
        forms = " or ".join(f"{scheme}://host:port" for scheme in schemes)
        raise ConfigurationError(f"lightning_url must be {forms}.")
    if parts.username or parts.password:
        raise ConfigurationError("lightning_url must not have a user or password in it.")
    return url.rstrip("/")


def _trust(certificate: str) -> ssl.SSLContext | bool:
    """Trust the node's own certificate and no other; without one what the system trusts."""
    if not certificate:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # A node's certificate signs itself and need not be an authority's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cadata=certificate)
    except (ssl.SSLError, ValueError):
        raise ConfigurationError(
            "lightning_certificate is no certificate in PEM form (-----BEGIN CERTIFICATE-----)."
        ) from None
    return context
