"""Drives Firefox or WebKit for a test: a program that reads orders and answers, a line each.

It runs with the Python of ``.cache/drivers-1`` (``.ci/setup wordpress``), which has the drivers:
``python wordpress_driver.py firefox|webkit``. An order is JSON: ``{"go": URL}`` or
``{"run": SCRIPT}``; the answer is ``{"value": …}``, ``{"error": …}`` or, where the browser itself
fell over, ``{"crash": …}``. It ends with its input.
"""

import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Any

FIREFOX = "/usr/bin/firefox-esr"
WEBKIT = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser"
WEBKIT_DRIVER = "/usr/bin/WebKitWebDriver"


class CrashError(Exception):
    """The browser fell over, whatever it showed."""


class Firefox:
    """By Marionette, its own protocol."""

    def __init__(self) -> None:
        from marionette_driver.marionette import Marionette  # type: ignore[import-not-found]

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        prefs = {
            "datareporting.policy.dataSubmissionEnabled": False,
            "network.captive-portal-service.enabled": False,
            "network.connectivity-service.enabled": False,
            "app.normandy.enabled": False,
            "app.update.enabled": False,
            "browser.safebrowsing.update.enabled": False,
            "services.settings.server": "data:,",
        }
        # It removes a file that is there before it writes: only ever one of its own.
        self._folder = tempfile.TemporaryDirectory(prefix="bc-firefox-")
        log = os.path.join(self._folder.name, "log")
        self._marionette = Marionette(
            bin=FIREFOX, headless=True, gecko_log=log, port=port, prefs=prefs
        )
        self._marionette.start_session()

    def quit(self) -> None:
        """End the browser."""
        self._marionette.quit()
        self._folder.cleanup()

    def go(self, url: str) -> None:
        """Open an address."""
        self._marionette.navigate(url)

    def run(self, script: str) -> Any:
        """Run a script in the page; return what it returns."""
        return self._marionette.execute_script(script, sandbox=None)


class WebKit:
    """By WebDriver."""

    def __init__(self) -> None:
        from selenium import webdriver  # type: ignore[import-not-found]
        from selenium.webdriver.webkitgtk.options import (  # type: ignore[import-not-found]
            Options,
        )
        from selenium.webdriver.webkitgtk.service import (  # type: ignore[import-not-found]
            Service,
        )

        options = Options()
        options.binary_location = WEBKIT
        options.add_argument("--automation")
        self._driver = webdriver.WebKitGTK(options=options, service=Service(WEBKIT_DRIVER))

    def quit(self) -> None:
        """End the browser."""
        self._driver.quit()

    def go(self, url: str) -> None:
        """Open an address."""
        self._call(self._driver.get, url)

    def run(self, script: str) -> Any:
        """Run a script in the page; return what it returns."""
        return self._call(self._driver.execute_script, script)

    def _call(self, method: Callable[[str], Any], text: str) -> Any:
        from selenium.common.exceptions import (  # type: ignore[import-not-found]
            InvalidSessionIdException,
            WebDriverException,
        )

        try:
            return method(text)
        except InvalidSessionIdException as error:
            raise CrashError(error.msg) from error
        except WebDriverException as error:
            # What WebKit says where the process that it waits for is gone (tried with SIGKILL).
            # Pages that cannot be loaded and scripts that fail have errors of their own.
            gone = (None, "", "Could not parse script result")
            if type(error) is WebDriverException and error.msg in gone:
                raise CrashError("the process of the page has ended") from error
            raise


def main() -> None:
    """Take orders until there are no more."""
    browser = Firefox() if sys.argv[1] == "firefox" else WebKit()
    try:
        print(json.dumps({"value": "ready"}), flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            try:
                if "go" in order:
                    browser.go(order["go"])
                value = browser.run(order["run"]) if "run" in order else None
                print(json.dumps({"value": value}), flush=True)
            except CrashError as error:
                print(json.dumps({"crash": str(error)}), flush=True)
            except Exception as error:
                print(json.dumps({"error": f"{error!r}: {error}"}), flush=True)
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
