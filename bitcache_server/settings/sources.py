"""Where settings come from besides the environment: files with one secret each, and TOML."""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from bitcache_server.domain.errors import ConfigurationError

ENV_PREFIX = "BITCACHE_"
CONFIG_VARIABLE = "BITCACHE_CONFIG"
DEFAULT_CONFIG_FILE = "bitcache.toml"
#: Settings that may be read from a file of their own, named by ``BITCACHE_…_FILE``.
FILE_SETTINGS = (
    "secret_key",
    "node_url",
    "database_url",
    "lightning_url",
    "lightning_secret",
    "lightning_payout_secret",
    "lightning_certificate",
    "smtp_url",
    "metrics_token",
)


def env_name(field: str) -> str:
    """Return the environment variable of a setting."""
    return ENV_PREFIX + field.upper()


class FileVariables(PydanticBaseSettingsSource):
    """Reads ``BITCACHE_SECRET_KEY_FILE`` and its like: the value is the path of a file."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the file's text without the line end, or None when none is named."""
        variable = f"{env_name(field_name)}_FILE"
        path = os.environ.get(variable) if field_name in FILE_SETTINGS else None
        if not path:
            return None, field_name, False
        if os.environ.get(env_name(field_name)):
            raise ConfigurationError(f"Give {env_name(field_name)} or {variable}, not both.")
        try:
            return Path(path).read_text("utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ConfigurationError(f"{variable}: cannot read {path}: {reason}.") from None

    def __call__(self) -> dict[str, Any]:
        """Return the settings whose files are named."""
        found = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in found.items() if value is not None}


class TomlFile(PydanticBaseSettingsSource):
    """Reads the TOML file, where there is one."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the field's value in the file, or None."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return what the file says; nothing when there is no ``bitcache.toml``."""
        named = os.environ.get(CONFIG_VARIABLE)
        path = Path(named or DEFAULT_CONFIG_FILE)
        if not named and not path.exists():
            return {}
        try:
            return tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigurationError(
                f"{CONFIG_VARIABLE}: cannot read {path}: {error.strerror}."
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is not valid TOML: {error}.") from None
