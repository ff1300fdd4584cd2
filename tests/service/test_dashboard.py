"""The dashboard and the alert rules: each figure that they ask for is one that the service tells."""

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from service.web.siblings import Siblings
from tests.fakes.service import Serving
from tests.fakes.upstream import Play, end, start, text

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
ALERTS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
# Prometheus's own, of each target.
OF_SCRAPES = {"up"}
# What each kind of family is asked for by.
ENDINGS = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "gauge": [""]}
UNITS = {"s", "bytes", "short", "ops", "percentunit"}


def expressions() -> list[str]:
    """What is asked, with Grafana's variables in place."""
    asked = [target["expr"] for panel in PANELS for target in panel["targets"]]
    put_in = [expr.replace("$__rate_interval", "5m").replace("$job", ".*") for expr in asked]
    return [*put_in, *(rule["expr"] for rule in RULES)]


def names(expr: str) -> set[str]:
    """The figures that an expression asks for."""
    bare = re.sub(r'"[^"]*"', "", expr)
    return set(re.findall(r"\b(?:fanlight|process)_\w+|\bup\b", bare))


def labels(expr: str) -> dict[str, set[str]]:
    """The labels that an expression picks by, for each figure."""
    picked = re.findall(r"\b((?:fanlight|process)_\w+)\{([^}]*)\}", expr)
    return {name: set(re.findall(r"(\w+)\s*[=!]", inside)) for name, inside in picked}


async def told(serving: Serving, tmp_path: Path) -> dict[str, set[str]]:
    """Each figure of a real scrape, with its labels."""
    found: dict[str, set[str]] = {}
    async with serving(Play([start(), text("a"), end()]), store=f"sqlite:{tmp_path}/s.db") as service:
        await service.show(await service.start(), "?wait=5")
        headers = {"Accept": "application/openmetrics-text"}
        async with service.http.get(service.url + "/metrics", headers=headers) as answer:
            families = list(text_string_to_metric_families(await answer.text()))
        families += await Siblings(tmp_path, tmp_path / "0.0.sock", 2).together([])
    for family in families:
        for ending in ENDINGS[family.type]:
            found[family.name + ending] = {label for sample in family.samples for label in sample.labels}
    return found


async def test_every_figure_that_is_asked_for_is_told(serving: Serving, tmp_path: Path):
    there = await told(serving, tmp_path)
    asked = set[str]().union(*map(names, expressions()))
    assert asked - OF_SCRAPES <= set(there)
    assert len(asked) > 30


async def test_every_figure_but_few_is_on_the_dashboard(serving: Serving, tmp_path: Path):
    there = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in await told(serving, tmp_path)}
    shown = {re.sub(r"_(total|bucket|count|sum)$", "", name) for expr in expressions() for name in names(expr)}
    assert there - shown == {
        "fanlight_events",
        "fanlight_text_bytes",
        "fanlight_store_commits",
        "fanlight_store_changes",
        "fanlight_store_failures",
        "fanlight_store_mirrors",
        "fanlight_store_mirror_repairs",
    }


async def test_a_label_that_is_picked_by_is_told(serving: Serving, tmp_path: Path):
    there = await told(serving, tmp_path)
    known = {"job", "instance"}
    for expr in expressions():
        for name, picked in labels(expr).items():
            if there[name]:  # of a figure that has not been told yet labels are not known
                assert picked <= known | there[name], (name, picked)


@pytest.mark.parametrize("expr", expressions())
def test_brackets_close(expr: str):
    pairs, depth = {"(": ")", "[": "]", "{": "}"}, list[str]()
    for char in re.sub(r'"[^"]*"', "", expr):
        if char in pairs:
            depth.append(pairs[char])
        elif char in pairs.values():
            assert depth.pop() == char
    assert not depth


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_a_title_in_words_a_unit_and_a_place(panel: dict[str, Any]):
    assert re.fullmatch(r"[A-Z][a-z]+( [a-z',-]+)+", panel["title"])
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"]["uid"] == "${datasource}"
    assert all(target["legendFormat"] for target in panel["targets"])


def test_no_two_panels_share_a_place_or_a_name():
    cells = Counter(
        (x, y)
        for panel in BOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    )
    assert max(cells.values()) == 1
    for what in ("id", "title"):
        assert len({panel[what] for panel in BOARD["panels"]}) == len(BOARD["panels"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_has_happened(rule: dict[str, Any]):
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith(".")


# -- by Prometheus's own tool

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="scripts/system-packages installs promtool")


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_reads_the_alerts():
    promtool("check", "rules", str(DEPLOY / "prometheus" / "alerts.yaml"))


@needs_promtool
def test_prometheus_reads_what_the_panels_ask(tmp_path: Path):
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions())]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", str(path))


# What makes each alert fire: series by the minute, as promtool has them.
FIRE: dict[str, dict[str, str]] = {
    "FanlightDown": {'up{job="fanlight",instance="a"}': "0x60"},
    "FanlightWorkerDown": {'fanlight_worker_up{worker="1"}': "0x60"},
    "FanlightStoreFails": {'fanlight_store_up{instance="a"}': "0x60"},
    "FanlightStoreSlow": {
        'fanlight_store_commit_seconds_bucket{instance="a",le="0.1"}': "0+90x60",
        'fanlight_store_commit_seconds_bucket{instance="a",le="0.25"}': "0+100x60",
        'fanlight_store_commit_seconds_bucket{instance="a",le="+Inf"}': "0+100x60",
    },
    "FanlightUpstreamUnreachable": {'fanlight_breaker_state{state="open"}': "1x60"},
    "FanlightStreamsFail": {
        'fanlight_endings_total{status="failed",code="upstream_broken"}': "0+20x60",
        'fanlight_endings_total{status="completed",code=""}': "0+80x60",
    },
    "FanlightFirstFragmentLate": {
        'fanlight_first_fragment_seconds_bucket{le="20.0"}': "0+90x60",
        'fanlight_first_fragment_seconds_bucket{le="40.0"}': "0+100x60",
        'fanlight_first_fragment_seconds_bucket{le="+Inf"}': "0+100x60",
    },
    "FanlightDeliveryLate": {
        'fanlight_delivery_seconds_bucket{le="0.1"}': "0+900x60",
        'fanlight_delivery_seconds_bucket{le="0.25"}': "0+1000x60",
        'fanlight_delivery_seconds_bucket{le="+Inf"}': "0+1000x60",
    },
    "FanlightLoopLate": {
        'fanlight_loop_lag_seconds_bucket{le="0.25"}': "0+50x60",
        'fanlight_loop_lag_seconds_bucket{le="1.0"}': "0+60x60",
        'fanlight_loop_lag_seconds_bucket{le="+Inf"}': "0+60x60",
    },
    "FanlightMemoryShort": {"fanlight_memory_share": "0.85x60"},
    "FanlightReadersShed": {'fanlight_memory_shed_total{what="reader_refused"}': "0+1x60"},
    "FanlightWrongKeys": {'fanlight_refusals_total{code="unauthenticated"}': "0+600x60"},
    "FanlightNodeLost": {"fanlight_store_leases_taken_total": "0+1x60"},
    "FanlightAuditFails": {"fanlight_audit_failures_total": "0+1x60"},
}


# The same where all is well.
WELL = {"0x60": "1x60", "1x60": "0x60", "0.85x60": "0.5x60"}


@needs_promtool
@pytest.mark.parametrize("is_well", [False, True])
def test_each_alert_fires_at_what_it_is_for_and_is_silent_where_all_is_well(tmp_path: Path, is_well: bool):
    assert set(FIRE) == {rule["alert"] for rule in RULES}
    cases = [
        {
            "interval": "1m",
            "input_series": [
                {"series": name, "values": WELL.get(values, "0+0x60") if is_well else values}
                for name, values in series.items()
            ],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertstate="firing", alertname="{alert}"}}) or vector(0)',
                    "eval_time": "40m",
                    "exp_samples": [{"labels": "{}", "value": int(not is_well)}],
                }
            ],
        }
        for alert, series in FIRE.items()
    ]
    rules = [str(DEPLOY / "prometheus" / "alerts.yaml")]
    path = tmp_path / "cases.yaml"
    path.write_text(
        yaml.safe_dump({"rule_files": rules, "evaluation_interval": "1m", "tests": cases}), encoding="utf-8"
    )
    promtool("test", "rules", str(path))
