"""One frozen object with every setting; environment first, then the TOML file that ``FANLIGHT_CONFIG`` names.

Names in the environment carry the prefix ``FANLIGHT_``; in the file they stand in lower
case without it. Units are in the names.
"""

import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

CLOUD = "https://api.twelvelabs.io/v1.3"
EMBEDDED = "embedded"
REDIS = ("redis://", "rediss://", "unix://")
# What a key may have a bound of its own for; each is a setting, too.
KEY_LIMITS = frozenset(
    {
        "starts_per_minute",
        "max_streams_per_tenant",
        "max_readers_per_tenant",
        "max_readers_per_stream",
        "attaches_per_minute",
        "upstream_seconds_per_day",
        "output_tokens_per_day",
    }
)
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Limit = Annotated[int | None, Field(ge=0, le=1 << 53)]
Names = Annotated[tuple[str, ...], NoDecode]


def default_data_dir() -> Path:
    """The user's data home (XDG base directories), in a directory of our own."""
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "fanlight"


class Settings(BaseSettings):
    """Every setting, with its unit and default."""

    model_config = SettingsConfigDict(env_prefix="FANLIGHT_", frozen=True, extra="forbid", populate_by_name=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65_535, description="port to listen on; 0 picks one and logs it")
    public_url: str | None = Field(None, description="the address under which users reach the service")
    hosts: Names = Field((), description="further names accepted in Host, comma-separated")
    origins: Names = Field((), description="browser origins that may call, comma-separated")
    api_keys: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, description="keys of callers: comma-separated name:sha256hex, each name a tenant"
    )
    keys: Path | None = Field(
        None, description="file that `fanlight keys` keeps keys in; unset: the store, with memory a file beside it"
    )
    ticket_keys: SecretStr | None = Field(
        None,
        description="what tickets are signed with: kid:base64url or kid:ed25519:base64url, comma-separated; the first"
        " signs; unset: a key is made at first use and kept beside the keys",
    )
    allow_open: bool = Field(False, description="listen beyond loopback without keys")

    upstream_url: str | None = Field(
        None,
        description="an address ending in /v1.3, http+unix: for sockets, or 'embedded'; unset: see README",
    )
    upstream_key_file: Path | None = Field(
        None, description="file with that key, so that it need not stand in the environment; read anew on SIGHUP"
    )
    upstream_key: SecretStr | None = Field(
        None,
        validate_default=True,
        validation_alias=AliasChoices("FANLIGHT_UPSTREAM_KEY", "TWELVELABS_API_KEY", "upstream_key"),
        description="the key sent to the upstream in place of the caller's",
    )
    forward_keys: bool = Field(False, description="send the caller's own x-api-key upstream instead")
    data_dir: Path = Field(default_factory=default_data_dir, description="where the embedded engine keeps its files")
    engine_workers: int = Field(2, ge=1, le=64, description="analyses that the embedded engine runs at once")
    engine_recognisers: int = Field(
        1, ge=1, le=64, description="cores that one analysis reads speech with; more pay with a larger model alone"
    )
    engine_whisper: Path | None = Field(
        None, description="directory of another CTranslate2 Whisper model; unset: what `fanlight models` fetched"
    )
    engine_max_bytes: Count = Field(100 << 30, description="media and uploads that the embedded engine keeps in all")
    engine_private_urls: bool = Field(False, description="let the embedded engine fetch from private addresses")
    weights_dir: Path = Field(default_factory=default_data_dir, description="where `fanlight models` keeps weights")
    vlm_url: str | None = Field(
        None, description="base address of an OpenAI-compatible server whose model then answers analyses"
    )
    vlm_model: str | None = Field(None, description="that server's model")
    vlm_key: SecretStr | None = Field(None, description="that server's key")
    vlm_frames: int = Field(16, ge=1, le=256, description="pictures of a video, or of each part of a long one")
    vlm_video: Literal["frames", "url"] = Field("frames", description="`url` hands a video's own address over instead")
    vlm_parallel: int = Field(2, ge=1, le=64, description="calls of the model at once")
    vlm_part_s: int = Field(600, ge=1, description="seconds; a longer video is told in parts, each with its pictures")
    vlm_fallback: Literal["none", "facts"] = Field(
        "none", description="`facts` lets the measured answer step in where the model cannot be had"
    )
    meaning: Path | None = Field(
        None, description="the embedded engine's weights for meaning; unset: what `fanlight models` fetched"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")

    audit_log: Path | None = Field(
        None, description="file that a line is written to for each start, reading, cancelling, ticket and refusal"
    )

    connect_timeout_s: Seconds = Field(5.0, description="connecting to the upstream")
    first_event_timeout_s: Seconds = Field(120.0, description="from connected to the first event")
    idle_timeout_s: Seconds = Field(90.0, description="between events")
    total_timeout_s: Seconds = Field(1800.0, description="a whole analysis, retries included")
    max_line_bytes: Count = Field(1 << 20, description="longest line of the upstream's answer")
    max_text_bytes: Count = Field(1 << 24, description="longest text of a stream")
    max_events_per_s: Count = Field(1_000_000, description="events taken from one upstream call a second")
    max_body_bytes: Count = Field(48 << 20, description="longest body of a JSON call; media in base64 are in it")
    chat_body_bytes: Count = Field(64 << 20, description="longest body of a chat's call; its history is in it")
    prompt_chars: Count = Field(6000, description="longest prompt that is made of a conversation, in characters")
    chat_resume_s: Seconds = Field(60.0, description="an answer that has ended is told again to who resumes its chat")
    max_streams: Count = Field(2000, description="streams running at once")
    max_streams_per_tenant: Count = Field(1000, description="streams of one tenant running at once")
    starts_per_minute: Limit = Field(None, description="streams that a tenant may lead a minute")
    attaches_per_minute: Limit = Field(None, description="readers of a tenant that may come a minute")
    max_readers_per_tenant: Limit = Field(None, description="connections of a tenant that may read at once")
    max_readers_per_stream: Limit = Field(None, description="readers that a stream may have at once")
    upstream_seconds_per_day: Limit = Field(None, description="time of the upstream that a tenant may use a day (UTC)")
    output_tokens_per_day: Limit = Field(None, description="tokens that may be written for a tenant a day (UTC)")
    messages_per_minute: Count = Field(6000, description="messages that a socket may send a minute")
    memory_bytes: Count | None = Field(
        None,
        description="memory that this process may take: from 0.8 of it on no stream is started, from 0.9 on no reader"
        " comes, from 0.95 on readers are sent away; unset: its part of the container's, else of the machine's",
    )
    max_kept_bytes: Count = Field(1 << 29, description="ended streams kept, in all")
    max_kept_bytes_per_tenant: Count = Field(1 << 28, description="ended streams kept of one tenant")

    store: str = Field(
        "sqlite",
        description="where streams are kept: memory, sqlite (streams.db in the data directory), sqlite:/a/path.db,"
        " or for several processes redis://…, rediss://… or unix://…",
    )
    store_keep_bytes: Count | None = Field(
        None, description="ended streams kept in the store, in all; unset: 8 GiB, in Redis 1 GiB"
    )
    store_synchronous: Literal["normal", "full"] = Field(
        "normal",
        description="of sqlite: with normal a loss of power may take the last commits; with full none, and each"
        " waits for the disk",
    )
    store_window_ms: float = Field(0.0, ge=0, le=1000, description="how long a commit waits for others")
    workers: int = Field(1, ge=1, le=64, description="processes on one port; more than one need a Redis store")
    node: str | None = Field(
        None,
        pattern=r"^[!-~]{1,128}$",
        description="name of this process in resources; unset: host, process id, a random part",
    )

    high_water_bytes: Count = Field(
        1 << 16, le=1 << 30, description="bytes that a reader's socket may hold unsent before the reader is passed over"
    )
    send_deadline_s: Seconds = Field(15.0, description="a reader that takes no byte for this long is closed")
    rollup_ms: float = Field(0.0, ge=0, le=100, description="joins fragments for very large audiences")
    drain_s: Seconds = Field(20.0, description="from SIGTERM to the exit")
    max_connection_age_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = Field(
        None, description="a reader's connection is ended then, with its cursor, a fifth of that earlier at most"
    )
    header_timeout_s: Seconds = Field(10.0, description="a request's head must be there")
    body_timeout_s: Seconds = Field(30.0, description="a JSON call's body must be there")
    keep_alive_s: Seconds = Field(15.0, description="an idle connection is kept")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, and the environment over the file."""
        path = os.environ.get("FANLIGHT_CONFIG")
        if not path:
            return init_settings, env_settings
        if not Path(path).is_file():
            raise ValueError(f"FANLIGHT_CONFIG names {path}, which is not a file")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=path)

    @field_validator("hosts", "origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _read_keys(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
        return {digest.lower(): name for name, _, digest in pairs}

    @field_validator("api_keys")
    @classmethod
    def _check_keys(cls, value: dict[str, str]) -> dict[str, str]:
        for digest, name in value.items():
            hexadecimal = len(digest) == 64 and all(c in "0123456789abcdef" for c in digest)
            if not name or not hexadecimal:
                raise ValueError("each key is name:sha256hex, the digest with 64 hexadecimal digits")
        return value

    @field_validator("meaning")
    @classmethod
    def _is_directory(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError(
                f"FANLIGHT_MEANING names {value}, which is not a directory; `fanlight models fetch meaning` makes one"
            )
        return value

    @property
    def weights(self) -> Path | None:
        """The directory of the weights for meaning; None where there are none."""
        if self.meaning is not None:
            return self.meaning
        return self._fetched("meaning")

    @property
    def speech(self) -> Path | None:
        """The directory of the model that hears; None where there is none."""
        return self.engine_whisper or self._fetched("speech")

    @property
    def things(self) -> Path | None:
        """The directory of the weights that name things; None where there are none."""
        return self._fetched("things")

    def _fetched(self, name: str) -> Path | None:
        directory = self.weights_dir / name
        return directory if directory.is_dir() else None

    @field_validator("upstream_key", mode="before")
    @classmethod
    def _out_of_its_file(cls, value: Any, info: ValidationInfo) -> Any:
        path = info.data.get("upstream_key_file")
        if path is None or value:
            return value or None
        try:
            return path.read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as exc:
            raise ValueError(f"FANLIGHT_UPSTREAM_KEY_FILE names {path}, which cannot be read") from exc

    @model_validator(mode="after")
    def _names_a_model(self) -> "Settings":
        if self.vlm_url is not None and not self.vlm_model:
            raise ValueError("FANLIGHT_VLM_URL needs FANLIGHT_VLM_MODEL, the name of a model there")
        return self

    @model_validator(mode="after")
    def _workers_share_a_store(self) -> "Settings":
        if self.workers > 1 and not self.store_is_shared:
            raise ValueError(
                f"FANLIGHT_WORKERS={self.workers} needs a store that processes can share: FANLIGHT_STORE=redis://…"
            )
        return self

    @field_validator("store")
    @classmethod
    def _is_a_store(cls, value: str) -> str:
        if value not in ("memory", "sqlite") and not value.startswith(("sqlite:/", *REDIS)):
            raise ValueError("memory, sqlite, sqlite:/a/path.db, redis://…, rediss://… or unix://…")
        return value

    @property
    def store_is_shared(self) -> bool:
        """Whether streams are kept where several processes reach them."""
        return self.store.startswith(REDIS)

    @property
    def store_keeps_bytes(self) -> int:
        """What ended streams may take in the store, in all."""
        if self.store_keep_bytes is not None:
            return self.store_keep_bytes
        return 1 << 30 if self.store_is_shared else 8 << 30

    @property
    def store_path(self) -> Path | None:
        """The file that streams are kept in; None where it is no file."""
        if self.store == "memory" or self.store_is_shared:
            return None
        return self.data_dir / "streams.db" if self.store == "sqlite" else Path(self.store.removeprefix("sqlite:"))

    @property
    def keys_path(self) -> Path | None:
        """The file that keys are kept in; None where they are in the store."""
        return self.keys or (self.data_dir / "keys.json" if self.store == "memory" else None)

    @property
    def needs_keys(self) -> bool:
        """Whether the service must not be had without a key."""
        return not (self.allow_open or self.forward_keys or is_loopback(self.host))

    @property
    def upstream(self) -> str:
        """The upstream's address, or ``embedded``."""
        if self.upstream_url:
            return self.upstream_url
        return CLOUD if self.upstream_key is not None or self.forward_keys else EMBEDDED

    @property
    def upstream_in_words(self) -> str:
        """For the start line: which upstream is used, and what it costs."""
        if self.upstream == EMBEDDED:
            deaf = "" if self.speech else "; it hears no words until `fanlight models fetch speech` was run"
            if self.vlm_url is not None:
                return f"the embedded engine on this machine; {self.vlm_model} at {self.vlm_url} answers{deaf}"
            return f"the embedded engine on this machine: no key, no network, no cost{deaf}"
        if self.upstream == CLOUD:
            return f"the TwelveLabs cloud at {CLOUD}: every analysis costs money"
        return f"the server at {self.upstream}"

    def __repr_args__(self) -> Iterable[tuple[str, Any]]:
        # What is shown of a model is what a traceback shows of it.
        return self.shown().items()

    def shown(self) -> dict[str, Any]:
        """The effective settings with secrets masked."""
        shown: dict[str, Any] = self.model_dump(mode="json")
        shown["vlm_key"] = "**********" if self.vlm_key is not None else None
        shown["upstream_key"] = "**********" if self.upstream_key is not None else None
        shown["ticket_keys"] = "**********" if self.ticket_keys is not None else None
        shown["api_keys"] = sorted(self.api_keys.values())
        for name in ("store", "upstream_url", "vlm_url", "public_url"):
            shown[name] = _without_password(shown[name]) if shown[name] else shown[name]
        return shown | {"upstream": _without_password(self.upstream) if "://" in self.upstream else self.upstream}


def _without_password(address: str) -> str:
    """An address with what lets somebody in masked."""
    scheme, mark, rest = address.partition("://")
    before, at, after = rest.rpartition("@")
    return f"{scheme}{mark}{before and '**********'}{at}{after}"


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def faults(exc: ValueError) -> str:
    """What is wrong with the settings, without quoting their values."""
    if not isinstance(exc, ValidationError):
        return str(exc)
    return "; ".join(
        f"{'FANLIGHT_' + '.'.join(map(str, fault['loc'])).upper() + ': ' if fault['loc'] else ''}{fault['msg']}"
        for fault in exc.errors(include_input=False, include_url=False)
    )
