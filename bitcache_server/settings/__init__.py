"""Settings of a server: from the environment, from files with secrets, from a TOML file.

A setting ``port`` is looked for, in this order, in ``BITCACHE_PORT``, in
``port`` of the TOML file that ``BITCACHE_CONFIG`` names (or ``bitcache.toml``
in the working directory), and then has its default. The settings that hold
secrets may also be read from a file: ``BITCACHE_SECRET_KEY_FILE`` holds
the path of a file with the secret key, as Docker and systemd hand them out.

Everything is checked when the server starts. ``load_settings`` raises
ConfigurationError with the name of each wrong setting and of its environment
variable, and never with the value of a secret.
"""

import difflib
import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from bitcache_server.domain.errors import ConfigurationError
from bitcache_server.settings.model import ConfirmationStep, Settings
from bitcache_server.settings.sources import (
    CONFIG_VARIABLE,
    DEFAULT_CONFIG_FILE,
    ENV_PREFIX,
    FILE_SETTINGS,
    env_name,
)

__all__ = ["ConfirmationStep", "Settings", "load_settings"]


def load_settings(**overrides: Any) -> Settings:
    """Return the checked settings; ``overrides`` win over every other place.

    Raises ConfigurationError with one sentence for each setting that is wrong.
    """
    _refuse_unknown_variables()
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise ConfigurationError(" ".join(_explain(dict(e)) for e in error.errors())) from None
    except SettingsError as error:
        field = str(error).split('"')[1]
        raise ConfigurationError(f"{field} ({env_name(field)}): must be valid JSON.") from None


def _refuse_unknown_variables() -> None:
    """A misspelt variable must not leave a default in force unnoticed."""
    known = {env_name(name) for name in Settings.model_fields} | {CONFIG_VARIABLE}
    known |= {f"{env_name(name)}_FILE" for name in FILE_SETTINGS}
    for variable in sorted(os.environ):
        if variable.startswith(ENV_PREFIX) and variable not in known:
            raise ConfigurationError(f"{variable} is no setting.{_did_you_mean(variable, known)}")


def _did_you_mean(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _explain(error: dict[str, Any]) -> str:
    """Turn one of pydantic's errors into a sentence without the value."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return f"{message[:1].upper()}{message[1:]}."
    field = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"{field} is no setting.{_did_you_mean(field, set(Settings.model_fields))}"
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing" and len(error["loc"]) == 1:
        if field == "secret_key" and _nothing_is_given():
            return (
                f"There is no {DEFAULT_CONFIG_FILE} in {Path.cwd()}. Go to the folder where you "
                f"ran `bitcache init`, or set {CONFIG_VARIABLE}."
            )
        message = "is required and has no default"
    return f"{where} ({env_name(field)}): {message}."


def _nothing_is_given() -> bool:
    """Return whether no settings were found: most likely a shop's owner is in another folder."""
    key = env_name("secret_key")
    given = any(variable in os.environ for variable in (CONFIG_VARIABLE, key, f"{key}_FILE"))
    return not given and not Path(DEFAULT_CONFIG_FILE).exists()
