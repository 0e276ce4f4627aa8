"""The doors of the plugin and who may pass. What a site has and this list has not fails a test."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.wordpress import WordPressSite
from tests.wordpress.people import ADMIN, Person

#: Methods of the REST routes. All are open: a grant, an origin or a signature decides.
ROUTES = {"": ["GET"], "/content": ["POST"], "/item": ["POST"], "/events": ["POST"]}
#: Files of the plugin that read what a request brings. A new one needs a test in test_security.py.
INPUTS = {
    "Access/Reader.php",
    "Admin/Connect.php",
    "Admin/SettingsPage.php",
    "Editor/Authors.php",
    "Editor/Columns.php",
    "Editor/MetaBox.php",
    "Editor/Terms.php",
    "Files/Download.php",
    "Files/Folder.php",
    "Files/Stream.php",
    "Files/Urls.php",
    "Http/ContentRoute.php",
    "Http/Origin.php",
    "Http/ReadingPage.php",
    "Leak/Canary.php",
    "Leak/Page.php",
    "Plugin.php",
    "Shop/Events.php",
    "Shop/PayButton.php",
    "Shop/WooCommerce.php",
    "Surfaces/Crawlers.php",
    "Surfaces/Mail.php",
}
#: Of wp-admin, for administrators alone.
PAGES = ("admin.php?page=bitcache", "tools.php?page=bitcache-leak-test")
#: Where requests come in, by hook; each has a test in test_security.py.
HOOKS = {
    "activated_plugin": ["SettingsPage::welcome"],
    "admin_init": ["Columns::attach", "Schedule::plan"],
    "admin_post_bitcache_by_hand": ["Connect::by_hand"],
    "admin_post_bitcache_check": ["SettingsPage::check"],
    "admin_post_bitcache_connect": ["Connect::start"],
    "admin_post_bitcache_disconnect": ["Connect::disconnect"],
    "admin_post_bitcache_save": ["SettingsPage::save"],
    "attachment_fields_to_save": ["Fields::save"],
    "created_category": ["Terms::save"],
    "edit_user_profile_update": ["Authors::save"],
    "edited_category": ["Terms::save"],
    "init": [
        "AllBlocks::load",
        "Download::answer",
        "Meta::add",
        "PayButton::press",
        "Schema::upgrade",
        "Scripts::add",
    ],
    "load-toplevel_page_bitcache": ["Connect::answer"],
    "parse_request": ["ContentRoute::plain", "ReadingPage::hand_over", "ReadingPage::read"],
    "personal_options_update": ["Authors::save"],
    "save_post": ["Columns::save", "MetaBox::save"],
    "template_redirect": ["Connect::pass_on", "Crawlers::no_store"],
    "wp": ["Data::queried"],
    "wp_ajax_bitcache_health": ["SettingsPage::health"],
}
_HOOKS = """
$found = array();
foreach ( $GLOBALS['wp_filter'] as $name => $hook ) {
    foreach ( array_merge( ...array_values( $hook->callbacks ) ) as $one ) {
        $f = $one['function'];
        $f = is_string( $f ) && strpos( $f, '::' ) ? explode( '::', $f ) : $f;
        $class = is_array( $f ) ? ( is_object( $f[0] ) ? get_class( $f[0] ) : $f[0] ) : '';
        if ( 0 === strpos( $class, 'Bitcache\\\\' ) ) {
            $found[ $name ][] = substr( strrchr( $class, '\\\\' ), 1 ) . '::' . $f[1];
        }
    }
}
return $found;
"""
_INPUT = re.compile(
    r"\$_(GET|POST|REQUEST|COOKIE|SERVER|FILES|ENV)\b|php://input|\$request\[|"
    r"\b(get_json_params|get_body|get_body_params|get_header|get_param|filter_input)\("
)
_COMMENT = re.compile(r"^\s*(\*|//|/\*).*$", re.MULTILINE)
_DOOR = re.compile(
    r"(admin_post_|wp_ajax_|load-|created_|edited_(?!.*meta)|admin_action_).*|init|wp|wp_loaded|"
    r"admin_init|parse_request|template_redirect|save_post|personal_options_update|"
    r"edit_user_profile_update|attachment_fields_to_save|activated_plugin|authenticate|login_init"
)


def routes_of(site: WordPressSite) -> dict[str, list[str]]:
    """Return the routes that a site has, and their methods."""
    code = "return rest_get_server()->get_routes( 'bitcache/v1' );"
    return {
        name.removeprefix("/bitcache/v1"): sorted(
            method for handler in handlers for method in handler["methods"]
        )
        for name, handlers in site.eval(code).items()
    }


def inputs_of(plugin: Path) -> set[str]:
    """Return the files of the plugin that read what a request brings."""
    folder = plugin / "includes"
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.php")
        if _INPUT.search(_COMMENT.sub("", path.read_text()))
    }


def hooks_of(site: WordPressSite) -> dict[str, list[str]]:
    """Return what of the plugin answers requests."""
    found = {name: sorted(set(calls)) for name, calls in site.eval(_HOOKS).items()}
    return {name: calls for name, calls in found.items() if _DOOR.fullmatch(name)}


@dataclass(frozen=True)
class Action:
    """A button of the settings page."""

    name: str
    path: str = "wp-admin/admin-post.php"
    nonce: str = ""
    data: dict[str, str] = field(default_factory=dict)
    status: int = 303
    changes: bool = False
    """Whether it changes what the site knows."""

    def press(self, person: Person, nonce: str | None, server: str) -> httpx.Response:
        """Send the form; without a nonce for None."""
        data = {"action": self.name, "server": server, **self.data}
        if nonce is not None:
            data["_wpnonce"] = nonce
        return person.client.post(self.path, data=data)


#: The last takes the connection away.
ACTIONS = (
    Action("bitcache_save", data={"bitcache[default_price]": "7.77"}, changes=True),
    Action("bitcache_check"),
    Action("bitcache_health", "wp-admin/admin-ajax.php", "bitcache_check", status=200),
    Action("bitcache_connect", changes=True),
    Action("bitcache_by_hand", data={"secret": "x" * 40}),
    Action("bitcache_disconnect", changes=True),
)

Sender = Callable[[Person, "Things", str, str | None], httpx.Response]


@dataclass(frozen=True)
class Things:
    """What forms are about; all of it belongs to the administrator."""

    post: int
    category: int
    user: int
    file: int


@dataclass(frozen=True)
class Form:
    """A form of WordPress in which the plugin has fields."""

    name: str
    send: Sender
    """Called with the price to set and the plugin's nonce; WordPress' own is right always."""
    nonce: str
    """Of the plugin; "" where only WordPress' own counts."""
    read: str
    """PHP that returns the price of the thing."""
    may: tuple[str, ...]


def _post(person: Person, things: Things, price: str, nonce: str | None) -> httpx.Response:
    data = {
        "action": "editpost",
        "post_ID": str(things.post),
        "post_type": "post",
        "content": "x",
        "_wpnonce": person.nonce(f"update-post_{things.post}"),
        "bitcache_box[amount]": price,
        "bitcache_box[currency]": "USD",
    }
    return person.client.post("wp-admin/post.php", data=_with(data, "bitcache_box_nonce", nonce))


def _quick(person: Person, things: Things, price: str, nonce: str | None) -> httpx.Response:
    data = {
        "action": "inline-save",
        "post_ID": str(things.post),
        "post_type": "post",
        "screen": "edit-post",
        "_status": "publish",
        "post_view": "list",
        "_inline_edit": person.nonce("inlineeditnonce"),
        "bitcache_quick[amount]": price,
        "bitcache_quick[currency]": "USD",
    }
    data = _with(data, "bitcache_quick_nonce", nonce)
    return person.client.post("wp-admin/admin-ajax.php", data=data)


def _bulk(person: Person, things: Things, price: str, nonce: str | None) -> httpx.Response:
    query = {
        "post_type": "post",
        "action": "edit",
        "bulk_edit": "Update",
        "post[]": str(things.post),
        "_status": "-1",
        "bitcache_bulk[what]": "price",
        "bitcache_bulk[amount]": price,
        "bitcache_bulk[currency]": "USD",
    }
    return person.client.get("wp-admin/edit.php", params=_with(query, "_wpnonce", nonce))


def _category(person: Person, things: Things, price: str, nonce: str | None) -> httpx.Response:
    data = {
        "action": "editedtag",
        "tag_ID": str(things.category),
        "taxonomy": "category",
        "name": "Lakes",
        "_wpnonce": person.nonce(f"update-tag_{things.category}"),
        "bitcache_term[amount]": price,
        "bitcache_term[currency]": "USD",
    }
    data = _with(data, "bitcache_term_nonce", nonce)
    return person.client.post("wp-admin/edit-tags.php", data=data)


def _author(person: Person, things: Things, price: str, nonce: str | None) -> httpx.Response:
    data = {
        "action": "update",
        "user_id": str(things.user),
        "email": f"{person.name}@example.org",
        "nickname": person.name,
        "_wpnonce": person.nonce(f"update-user_{things.user}"),
        "bitcache_author[amount]": price,
        "bitcache_author[currency]": "USD",
    }
    page = "profile.php" if person.id == things.user else "user-edit.php"
    data = _with(data, "bitcache_author_nonce", nonce)
    return person.client.post(f"wp-admin/{page}", data=data)


def _file(person: Person, things: Things, price: str, nonce: str | None) -> httpx.Response:
    data = {
        "action": "save-attachment-compat",
        "id": str(things.file),
        f"attachments[{things.file}][bitcache_price]": price,
        f"attachments[{things.file}][bitcache_currency]": "USD",
    }
    return person.client.post("wp-admin/admin-ajax.php", data=_with(data, "nonce", nonce))


def _rest(person: Person, things: Things, price: str, nonce: str | None) -> httpx.Response:
    meta = {"meta": {"_bitcache_price": price, "_bitcache_currency": "USD"}}
    return person.rest("POST", f"wp/v2/posts/{things.post}", json=meta)


def _with(data: dict[str, Any], name: str, nonce: str | None) -> dict[str, Any]:
    return data if nonce is None else {**data, name: nonce}


_META = "return get_post_meta( $input['things']['post'], '_bitcache_price', true );"
_EDITORS = ("editor", ADMIN)
FORMS = (
    Form("box", _post, "bitcache_box", _META, _EDITORS),
    Form("quick edit", _quick, "bitcache_list", _META, _EDITORS),
    Form("bulk edit", _bulk, "bulk-posts", _META, _EDITORS),
    Form(
        "category",
        _category,
        "bitcache_term",
        "return get_term_meta( $input['things']['category'], 'bitcache_price', true );",
        _EDITORS,
    ),
    Form(
        "author",
        _author,
        "bitcache_author",
        "return get_user_meta( $input['things']['user'], 'bitcache_price', true );",
        (ADMIN,),
    ),
    Form(
        "file",
        _file,
        "update-post_FILE",
        "return get_post_meta( $input['things']['file'], '_bitcache_price', true );",
        _EDITORS,
    ),
    Form("REST", _rest, "", _META, _EDITORS),
)
