"""What every POST of ours needs: the signature, and words for what went wrong; for webhook.py and status.py."""

import base64
import binascii
import os
from collections.abc import Sequence
from datetime import UTC, datetime

import aiohttp
from standardwebhooks.webhooks import Webhook
from yarl import URL


class Signature:
    """Standard Webhooks 1.0, "Signature scheme". Each of `secrets` is `whsec_` + base64, or any string taken as its
    bytes, or the bytes themselves; all of them sign, none means unsigned. Raises ValueError for one that cannot."""

    def __init__(self, secrets: Sequence[bytes | str]) -> None:
        if isinstance(secrets, str | bytes):
            raise TypeError("secrets is a sequence of secrets, not one")  # which would sign with each letter of it
        self._signers = [Webhook(_key(secret)) for secret in secrets]

    def headers(self, event_id: str, body: str) -> dict[str, str]:
        """For one attempt, which is now: one `v1,` signature per secret."""
        now = datetime.now(UTC)
        headers = {"webhook-id": event_id, "webhook-timestamp": str(int(now.timestamp()))}
        if self._signers:
            headers["webhook-signature"] = " ".join(signer.sign(event_id, now, body) for signer in self._signers)
        return headers


def _key(secret: bytes | str) -> bytes:
    if isinstance(secret, bytes):
        key = secret
    elif secret.startswith("whsec_"):
        try:
            unpadded = secret.removeprefix("whsec_").rstrip("=")
            key = base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
        except binascii.Error:
            raise ValueError("a secret that starts with whsec_ must go on in base64") from None
    else:
        key = secret.encode()
    if not key:
        raise ValueError("a secret must not be empty")
    return key


def why_unreachable(url: URL, error: aiohttp.ClientError) -> str:
    """Why there was no answer, or not all of it."""
    where = public(url)
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"the name of {where} cannot be resolved"
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {where} is not trusted"
        case aiohttp.ClientConnectorSSLError():
            return f"{where} does not speak TLS as we do"
        case aiohttp.ClientConnectorError():
            why = f": {os.strerror(error.errno)}" if error.errno else ""
            return f"cannot connect to {where}{why}"
    return f"{where} cut the connection before its answer was complete"


def public(url: URL) -> str:
    """What may be said of a URL: its user, password and query may be secrets."""
    return str(url.with_user(None).with_query(None).with_fragment(None))


def location(base: URL, to: str) -> str:
    """Where a redirect leads, as it may be said."""
    try:
        return public(base.join(URL(to)))[:200]
    except ValueError:
        return "an address that is none"
