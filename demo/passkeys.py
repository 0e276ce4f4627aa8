"""A virtual authenticator: Chromium plays a phone that unlocks with a finger (CDP WebAuthn)."""

from playwright.sync_api import CDPSession, Page

#: What a phone that unlocks with a finger has (W3C WebAuthn, section 11).
PHONE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Passkeys:
    """The authenticator of one browser."""

    def __init__(self, page: Page) -> None:
        self.cdp: CDPSession = page.context.new_cdp_session(page)
        self.cdp.send("WebAuthn.enable")
        made = self.cdp.send("WebAuthn.addVirtualAuthenticator", {"options": PHONE})
        self.id = {"authenticatorId": made["authenticatorId"]}

    def synchronise_to(self, other: "Passkeys") -> None:
        """Bring the passkeys to another device, as phones do by themselves."""
        for credential in self.cdp.send("WebAuthn.getCredentials", self.id)["credentials"]:
            other.cdp.send("WebAuthn.addCredential", {**other.id, "credential": credential})
