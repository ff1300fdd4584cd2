"""The cases of conformance/ as Python reads them: files, scripts of the upstream, patterns."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.fakes import upstream
from tests.fakes.upstream import Cut, Gate, Hang, Play, Step

FOLDER = Path(__file__).parent.parent.parent / "conformance" / "cases"
ASKED = {"prompt": "What happens?"}
_MEMBERS = {"case", "settings", "only", "upstream", "upstreams", "steps", "service", "pieces", "client"}


@dataclass(frozen=True)
class Case:
    """One case; see conformance/README.md."""

    file: str
    members: dict[str, Any]

    @property
    def name(self) -> str:
        return self.members["case"]

    @property
    def settings(self) -> dict[str, Any]:
        """What the service is started with, as its settings are called inside."""
        named = self.members.get("settings", {})
        return {name.removeprefix("FANLIGHT_").lower(): value for name, value in named.items()}

    def script(self) -> "Script":
        """The upstream's script, fresh."""
        calls = self.members.get("upstreams") or [self.members.get("upstream", [])]
        return Script.of(calls)


def all_cases() -> list[Case]:
    """Every case there is."""
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        for members in yaml.safe_load(path.read_text(encoding="utf-8")):
            assert members.keys() <= _MEMBERS, f"{path.name}: {members.keys() - _MEMBERS}"
            found.append(Case(path.stem, members))
    return found


def text_of(value: Any) -> str:
    """A text, or ``{repeat, times}``."""
    return value["repeat"] * value["times"] + value.get("and", "") if isinstance(value, dict) else value


def expanded(value: Any) -> Any:
    """A value with each ``{repeat, times}`` in it as its text."""
    if isinstance(value, list):
        return [expanded(item) for item in value]
    if not isinstance(value, dict):
        return value
    return text_of(value) if "repeat" in value else {name: expanded(item) for name, item in value.items()}


@dataclass
class Script:
    """What the upstream does, call by call.

    Attributes:
        gates: its pauses, by name.
        before: what has been said of text before each pause.
    """

    plays: list[Play] = field(default_factory=list)
    gates: dict[str, Gate] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, calls: list[list[dict[str, Any]]]) -> "Script":
        script = cls()
        for call in calls:
            script._add(call)
        return script

    def _add(self, call: list[dict[str, Any]]) -> None:
        status, steps, said = 200, list[Step](), ""
        headers: dict[str, str] = {}
        for item in call:
            ((kind, value),) = item.items()
            if kind == "status":
                status, headers = value, {"Content-Length": "0", "Location": "/elsewhere"}
            elif kind == "pause":
                gate = self.gates[value] = Gate()
                self.before[value] = said
                steps.append(gate)
            elif kind == "repeat":
                piece, pauses = text_of(value["text"]), value.get("pauses")
                said += piece * value["times"]
                for n in range(value["times"]):
                    if pauses:
                        gate = self.gates[f"{pauses} {n}"] = Gate()
                        steps.append(gate)
                        steps.append(upstream.text(piece))
                if not pauses:
                    steps.append(upstream.text(piece) * value["times"])
            else:
                said += value if kind == "text" else ""
                steps.append(_step(kind, value))
        self.plays.append(Play(steps, status, headers))


def _step(kind: str, value: Any) -> Step:
    match kind:
        case "start":
            return upstream.start(value)
        case "text":
            return upstream.text(value)
        case "end":
            return upstream.end(value)
        case "json":
            return orjson.dumps(value) + b"\n"
        case "line":
            return value.encode() + b"\n"
        case "hex":
            return bytes.fromhex(value)
        case "cut":
            return Cut()
        case "hang":
            return Hang()
    raise AssertionError(f"no step of an upstream: {kind}")


def fits(pattern: Any, value: Any) -> bool:
    """Whether a value is as a pattern says: ``*`` is anything, an object may hold more than it says."""
    if pattern == "*":
        return True
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(key in value and fits(item, value[key]) for key, item in pattern.items())
    if isinstance(pattern, list):
        return (
            isinstance(value, list)
            and len(pattern) == len(value)
            and all(fits(item, other) for item, other in zip(pattern, value, strict=True))
        )
    return type(pattern) is type(value) and pattern == value
