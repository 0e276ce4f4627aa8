"""Who comes to the doors of a WordPress: one person of each role, with the cookies of a log-in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.wordpress import WordPressSite

ADMIN = "administrator"
#: From nobody to everybody; WordPress calls its first administrator "admin".
ROLES = ("stranger", "subscriber", "contributor", "author", "editor", ADMIN)
_ADD = """
$id = wp_insert_user( array( 'user_login' => 'contributor', 'user_pass' => 'contributor-pass',
    'user_email' => 'c@example.org', 'role' => 'contributor' ) );
list( $password ) = WP_Application_Passwords::create_new_application_password(
    $id, array( 'name' => 'tests' ) );
$ids = array( 'stranger' => 0 );
foreach ( get_users() as $user ) { $ids[ $user->roles[0] ] = $user->ID; }
return array( $ids, $password );
"""


@dataclass
class Person:
    """Somebody of a role."""

    role: str
    id: int
    client: httpx.Client
    site: WordPressSite
    nonces: dict[str, str] = field(default_factory=dict)
    """Those that were asked for, by action."""

    @property
    def name(self) -> str:
        """Return what they log in as."""
        return "admin" if self.role == ADMIN else "" if self.role == "stranger" else self.role

    def eval(self, code: str, **given: Any) -> Any:
        """Run PHP as this person, in this person's session."""
        answer = self.client.post(
            "?test=1",
            json={"code": code, "input": given, "user": self.id},
            headers={"X-Test-Secret": self.site.secret},
        )
        said = answer.json()
        assert "error" not in said, said
        return said["result"]

    def nonce(self, action: str) -> str:
        """Return a nonce that WordPress takes from this person, whether or not it would give it."""
        if action not in self.nonces:
            code = "return wp_create_nonce( $input['action'] );"
            self.nonces[action] = str(self.eval(code, action=action))
        return self.nonces[action]

    def rest(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call the REST API as this person."""
        return self.site.rest(method, path, user=self.name, **options)


@contextmanager
def everybody(site: WordPressSite) -> Iterator[dict[str, Person]]:
    """Log one person of each role in."""
    ids, password = site.eval(_ADD)
    site.passwords["contributor"] = password
    made = {}
    for role in ROLES:
        name = "admin" if role == ADMIN else role
        client = site.client() if role == "stranger" else site.logged_in(name)
        made[role] = Person(role, ids[role], client, site)
    yield made
    for person in made.values():
        person.client.close()
