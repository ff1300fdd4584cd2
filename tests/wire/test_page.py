"""docs/wire.md: every example is played, and every code, option and limit of the page is one of the code, and back."""

import hashlib
import re
from pathlib import Path

import pytest

from config.settings import Settings
from protocol.captions import timing
from protocol.captions.cues import MAX_CUES
from protocol.errors import ANSWERS
from protocol.json.bounds import MAX_DEPTH, MAX_STRUCTURE
from protocol.schema import bounds, expansion, verdict
from protocol.upstream.events import MAX_EVENT_DEPTH
from protocol.views.elements import MAX_TOLD_BYTES
from protocol.views.projections import MAX_NAMES
from protocol.wire import messages
from protocol.wire.commands import MAX_COMMAND_BYTES, MAX_COMMAND_STRUCTURE, MAX_REF_BYTES, VIEWS, Command
from protocol.wire.cursors import Mode
from protocol.wire.endings import CODES, Status
from protocol.wire.options import Options
from service.hub.derived import DerivedView
from service.hub.hub import NATIVE, SILENCE_S, UPSTREAM
from service.hub.retention import RetentionLimits
from service.web.gate import SINGLE
from service.web.streams import MAX_LIMIT, MAX_WAIT_S
from service.web.websocket import FAULTS_WINDOW_S, MAX_FAULTS
from tests.fakes.service import Serving
from tests.wire.session import Player

PAGE = (Path(__file__).parent.parent.parent / "docs" / "wire.md").read_text(encoding="utf-8")
_FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> list[tuple[str, str, str]]:
    """Section, language and text of each fenced block."""
    found = []
    for match in _FENCE.finditer(PAGE):
        heading = re.findall(r"^#+ ([0-9.]+)", PAGE[: match.start()], re.MULTILINE)[-1]
        found.append((heading, match[1], match[3]))
    return found


EXAMPLES = examples()
NAMES = [f"{section}-{n}" for n, (section, _, _) in enumerate(EXAMPLES)]
# The example of a key being asked for: it is the "swordfish" of the page.
KEYS = {hashlib.sha256(b"swordfish").hexdigest(): "anna"}
SETTINGS = {"8.1": {"api_keys": KEYS, "origins": ("https://app.example.org",)}}


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
async def test_an_example_is_what_happens(serving: Serving, example: tuple[str, str, str]):
    section, language, text = example
    assert language == "session", f"an example that nobody plays, in section {section}"
    settings = SETTINGS.get(section, {})
    await Player(text, **settings).play(serving)


def test_no_example_is_overlooked():
    assert len(re.findall(r"^ *(?:```|~~~)", PAGE, re.MULTILINE)) == 2 * len(EXAMPLES) > 80


async def test_an_example_that_is_not_what_happens_is_seen(serving: Serving):
    text = next(text for section, _, text in EXAMPLES if section == "3.2")
    for before, after in (
        ('"to":5', '"to":6'),
        ("< {", "< 1{"),
        ('"mode":"live",', ""),
        ('"from":0,"to":5', '"to":5,"from":0'),
    ):
        assert before in text
        with pytest.raises(AssertionError):
            await Player(text.replace(before, after)).play(serving)


# -- tables

SOURCES = [
    path for top in ("service", "protocol") for path in (Path(__file__).parent.parent.parent / top).rglob("*.py")
]


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first column is called ``first``, cells without marks."""
    rows = PAGE[PAGE.index(f"\n| {first} |") :].split("\n\n")[0].strip().splitlines()
    return [[cell.strip().replace("`", "") for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def section(number: str) -> str:
    """The text of one section."""
    return re.split(r"\n#+ ", PAGE.split(f"## {number}")[1])[0]


def test_each_error_code_has_its_row_and_back():
    rows = {row[0]: (int(row[1]), int(row[2]), row[3] == "yes") for row in table("code | HTTP")}
    assert rows == {code: (form.status, form.close, form.retryable) for code, form in ANSWERS.items()}


NOT_ALWAYS = {"upstream_refused": "no; yes for 429 and 503"}


def test_each_ending_has_its_row_and_back():
    rows = table("status | code")
    told = {row[1]: (row[0], row[2]) for row in rows if row[1] not in ("none", "upstream_warning")}
    assert told == {
        code: (str(form.status), "yes" if form.retryable else NOT_ALWAYS.get(code, "no"))
        for code, form in CODES.items()
        if code != "upstream_warning"
    }
    assert {row[0] for row in rows if row[1] == "none"} == {Status.COMPLETED, Status.LENGTH}
    assert ("upstream_warning", "no") in {(row[1], row[2]) for row in rows}


def test_each_close_code_has_its_row_and_back():
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    used = {int(code) for code in re.findall(r"(?:close_with|WebSocketError)\((\d{4})", text)}
    used |= {form.close for form in ANSWERS.values()}
    assert {int(row[0]) for row in table("code | reason")} == used


def test_each_option_has_its_row_and_back():
    rows = {row[0]: row[1] for row in table("option")}
    fields = {field.alias or name: field for name, field in Options.model_fields.items()}
    assert rows.keys() == fields.keys()
    for name in ("join", "on_violation", "restart", "ttl_s", "validate"):
        assert rows[name] == f"{fields[name].default:g}" if name == "ttl_s" else str(fields[name].default)
    assert rows["on_abandon"] == f"native {NATIVE.on_abandon}, dialect {UPSTREAM.on_abandon}"
    assert rows["grace_s"] == f"native {NATIVE.grace_s:g}, dialect {UPSTREAM.grace_s:g}"


def test_each_message_has_its_row_and_back():
    told = {row[0] for row in table("type | members | section")}
    code = (Path(messages.__file__)).read_text(encoding="utf-8")
    used = set(re.findall(r'"type": ?"(\w+)"', code)) | {"delta", "event"}
    # `derived` tells what the projections tell.
    assert told == used | {"element", "patch", "caption", "violation"}
    asked = {row[0] for row in table("type | members | the direct answer")}
    assert asked == {command.model_fields["type"].annotation.__args__[0] for command in Command.__args__}


def test_each_view_mode_and_status_is_named():
    assert re.search(r"\*\*Views\*\* are (.*?)\(the ending", PAGE)[1].count("`") == 2 * len(VIEWS)
    assert all(f"`{view}`" in section("3. ") for view in VIEWS)
    assert {row[0] for row in table("mode")} == {str(mode) for mode in Mode}
    assert all(f"`{status}`" in PAGE for status in Status)


def test_each_header_that_may_come_once_is_listed():
    line = next(line for line in PAGE.splitlines() if "Headers that decide something" in line)
    assert {name.lower() for name in re.findall(r"`([\w-]+)`", line)} - {"invalid_request"} == SINGLE


def unbounded(*limits: int | None) -> str:
    """None, where each is left to whoever runs the service."""
    return "none" if set(limits) == {None} else f"{limits}"


def test_the_limits_are_those_of_the_code():
    rows = {row[0]: row[1] for row in table("what")}
    kept, defaults = RetentionLimits(), Settings(_env_file=None)
    mib, kib = 1 << 20, 1 << 10
    limits = {
        "a JSON body, decoded": f"{defaults.max_body_bytes // mib} MiB (FANLIGHT_MAX_BODY_BYTES)",
        "brackets, commas, colons and quotes of a JSON body": f"{MAX_STRUCTURE:,}",
        "the time for a request's head": f"{defaults.header_timeout_s:g} s (FANLIGHT_HEADER_TIMEOUT_S)",
        "the time for a JSON body": f"{defaults.body_timeout_s:g} s (FANLIGHT_BODY_TIMEOUT_S)",
        "a request schema": f"{bounds.MAX_BYTES // kib} KiB, depth {MAX_DEPTH}, {expansion.MAX_EXPANDED:,} subschemas",
        "a WebSocket message from the client": f"{MAX_COMMAND_BYTES // kib} KiB",
        "brackets, commas and colons outside strings in it": f"{MAX_COMMAND_STRUCTURE:,}",
        "ref": f"{MAX_REF_BYTES} bytes",
        "malformed messages on a socket": f"{MAX_FAULTS} in {FAULTS_WINDOW_S:g} s",
        "a message from the server, encoded": f"{messages.MAX_MESSAGE_BYTES // mib} MiB",
        "a line of the upstream": f"{defaults.max_line_bytes // mib} MiB (FANLIGHT_MAX_LINE_BYTES)",
        "brackets, commas and colons outside strings in an upstream event": f"{MAX_STRUCTURE:,}",
        "the depth of an upstream event": f"{MAX_EVENT_DEPTH}",
        "events of one upstream call": f"{defaults.max_events_per_s:,} a second (FANLIGHT_MAX_EVENTS_PER_S)",
        "a text": f"{defaults.max_text_bytes // mib} MiB (FANLIGHT_MAX_TEXT_BYTES)",
        "member names on the way to a value, in derived views": f"{MAX_NAMES:,} characters",
        "elements of a stream, as messages": f"{MAX_TOLD_BYTES // mib} MiB",
        "cues of a stream": f"{MAX_CUES:,}",
        "messages kept of a derived view": f"about {DerivedView.keep_bytes // mib} MiB",
        "errors listed in a verdict": f"{verdict.MAX_ERRORS}, counted up to {verdict.MAX_COUNT:,}",
        "streams running": f"{defaults.max_streams:,}, of one tenant {defaults.max_streams_per_tenant:,} (FANLIGHT_MAX_STREAMS, …_PER_TENANT)",
        "streams led a minute, of a tenant": f"{unbounded(defaults.starts_per_minute)} (FANLIGHT_STARTS_PER_MINUTE)",
        "readers that come a minute, of a tenant": f"{unbounded(defaults.attaches_per_minute)} (FANLIGHT_ATTACHES_PER_MINUTE)",
        "readers at once, of a stream and of a tenant": f"{unbounded(defaults.max_readers_per_stream, defaults.max_readers_per_tenant)} (FANLIGHT_MAX_READERS_PER_STREAM, …_PER_TENANT)",
        "seconds of the upstream, and tokens written, of a tenant a day (UTC)": f"{unbounded(defaults.upstream_seconds_per_day, defaults.output_tokens_per_day)} (FANLIGHT_UPSTREAM_SECONDS_PER_DAY, FANLIGHT_OUTPUT_TOKENS_PER_DAY)",
        "messages of a socket a minute": f"{defaults.messages_per_minute:,} (FANLIGHT_MESSAGES_PER_MINUTE)",
        "memory of a process": "the container's or the machine's (FANLIGHT_MEMORY_BYTES)",
        "ended streams kept": f"{kept.max_streams:,}; {defaults.max_kept_bytes // mib} MiB, of one tenant {defaults.max_kept_bytes_per_tenant // mib} MiB (FANLIGHT_MAX_KEPT_BYTES, …_PER_TENANT)",
        "Idempotency-Key": "1 to 255 characters",
        "?wait=": f"{MAX_WAIT_S:g} s",
        "?limit=": f"{MAX_LIMIT}",
        "silence on a body": f"{SILENCE_S:g} s",
        "server pings": "every 20 s",
    }
    assert rows == limits
    assert f"1 to {timing.LONGEST_MS // 1000} s, {timing.CHARACTERS_A_SECOND} characters a second" in PAGE


def test_each_setting_that_the_page_names_is_one():
    names = set(re.findall(r"FANLIGHT_[A-Z_]+[A-Z]", PAGE)) - {"FANLIGHT_CONFIG"}
    assert {name.removeprefix("FANLIGHT_").lower() for name in names} <= Settings.model_fields.keys()
