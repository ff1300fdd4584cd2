"""Traces of a running service: upstream calls, requests and readers, and how they hang together."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from service import telemetry
from service.telemetry import is_wanted
from service.watch.lines import said_besides
from service.watch.otel import OtelTraces, exported, resource
from tests.fakes.service import Service, Serving
from tests.fakes.upstream import Cut, Gate, Hang, Play, end, start, text
from tests.fakes.waiting import until

TRACE, STEP = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{STEP}-01", "tracestate": "vendor=one"}
UPSTREAM = {"gen_ai.provider.name": "twelvelabs", "server.address": "api.example"}
DONE = [start("g7"), text("a"), text("b"), end(tokens=42, generation_id="g7")]


class Kept:
    """An engine that remembers."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = OtelTraces(provider, UPSTREAM)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, beginning: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name.startswith(beginning)]

    @property
    def calls(self) -> list[ReadableSpan]:
        return self.named("generate_content")


@pytest.fixture
def kept() -> Iterator[Kept]:
    engine = Kept()
    yield engine
    engine.traces.close()


def links(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


def sent_of(service: Service, call: int = 0) -> dict[str, str]:
    """Headers that the upstream was sent."""
    return dict(service.upstream.seen[call].headers)


def ident(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


async def test_an_upstream_call_is_told_by_the_conventions_for_generative_ai(serving: Serving, kept: Kept):
    async with serving(Play(DONE), traces=kept.traces) as service:
        stream = await service.start(model_name="pegasus1.2")
        await service.show(stream, "?wait=5")
        await until(lambda: kept.calls)
    (call,) = kept.calls
    assert (call.name, call.kind) == ("generate_content pegasus1.2", SpanKind.CLIENT)
    assert dict(call.attributes or {}) == {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "twelvelabs",
        "gen_ai.request.model": "pegasus1.2",
        "gen_ai.output.type": "text",
        "gen_ai.response.id": "g7",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.output_tokens": 42,
        "server.address": "api.example",
        "fanlight.stream.id": stream,
        "fanlight.attempt": 0,
    }
    assert call.status.status_code is StatusCode.UNSET


async def test_a_call_comes_from_its_starters_request_and_that_from_the_callers_trace(serving: Serving, kept: Kept):
    async with serving(Play(DONE), traces=kept.traces) as service:
        body = {"prompt": "p", "video_id": "v"}
        async with service.http.post(service.url + "/v1/streams", json=body, headers=PARENT) as answer:
            stream = (await answer.json())["id"]
        await service.show(stream, "?wait=5")
        await until(lambda: kept.calls)
        sent = sent_of(service)
    (call,), (request,) = kept.calls, kept.named("POST /v1/streams")
    assert request.parent is not None
    assert request.parent.span_id == int(STEP, 16)
    assert call.parent is not None
    assert call.parent.span_id == ident(request)
    assert call.context is not None
    assert call.context.trace_id == int(TRACE, 16)
    assert sent["traceparent"] == f"00-{TRACE}-{ident(call):016x}-01"
    assert sent["tracestate"] == "vendor=one"
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/streams",
        "http.response.status_code": 201,
    }


async def test_readers_and_those_who_join_are_linked_to_the_call_and_last_as_long_as_they_read(
    serving: Serving, kept: Kept
):
    gate = Gate()
    async with serving(Play([start(), text("a"), gate, text("b"), end()]), traces=kept.traces) as service:
        stream = await service.start()
        await gate.reached.wait()
        await service.start(fanlight={"join": "running"})
        readers = [asyncio.create_task(reader) for reader in (service.watch(stream), service.read(stream))]
        async with service.http.get(f"{service.url}/v1/streams/{stream}/text") as answer:
            await until(lambda: len(service.hub.tally.attaches) and service.hub.tally.attaches["snapshot"] == 3)
            assert not kept.named("GET")
            gate.open()
            await answer.read()
        await asyncio.gather(*readers)
        async with service.analyze(fanlight={"join": "replay"}) as answer:
            await answer.read()
        await until(lambda: len(kept.named("GET")) == 3)
    (call,) = kept.calls[:1]
    for span in (*kept.named("GET"), kept.named("POST /v1/streams")[1]):
        assert ident(call) in links(span), span.name


async def test_a_socket_for_many_is_linked_to_the_calls_of_all_it_saw(serving: Serving, kept: Kept):
    async with serving(Play(DONE), Play(DONE), traces=kept.traces) as service:
        streams = [await service.start(prompt=f"p{number}") for number in range(2)]
        async with service.http.ws_connect(service.url + "/v1/ws") as socket:
            for stream in streams:
                await socket.send_json({"type": "subscribe", "stream": stream})
            ends = 0
            while ends < 2:
                ends += (await socket.receive_json())["type"] == "end"
        await until(lambda: kept.named("GET /v1/ws"))
    assert links(kept.named("GET /v1/ws")[0]) == {ident(call) for call in kept.calls}


@pytest.mark.parametrize(
    ("play", "code"),
    [(Play([start(), text("a"), Cut()]), "upstream_broken"), (Play([b"{}"], 401), "upstream_refused")],
)
async def test_a_call_that_fails_says_why(serving: Serving, kept: Kept, play: Play, code: str):
    async with serving(play, traces=kept.traces) as service:
        await service.show(await service.start(), "?wait=5")
        await until(lambda: kept.calls)
    (call,) = kept.calls
    assert call.attributes is not None
    assert (call.attributes["error.type"], call.status.status_code) == (code, StatusCode.ERROR)
    assert call.attributes.get("http.response.status_code") == (401 if code == "upstream_refused" else None)


async def test_each_attempt_is_a_call_of_its_own(serving: Serving, kept: Kept):
    async with serving(Play([b""], 503), Play(DONE), traces=kept.traces) as service:
        await service.show(await service.start(), "?wait=5")
        await until(lambda: len(kept.calls) == 2)
    told = [call.attributes for call in kept.calls if call.attributes is not None]
    assert [(one["fanlight.attempt"], one.get("error.type")) for one in told] == [(0, "upstream_refused"), (1, None)]


async def test_a_call_that_is_cancelled_says_so(serving: Serving, kept: Kept):
    async with serving(Play([start(), Hang()]), traces=kept.traces) as service:
        stream = await service.start()
        await until(lambda: service.upstream.seen)
        async with service.http.delete(f"{service.url}/v1/streams/{stream}") as answer:
            assert answer.status == 202
        await until(lambda: kept.calls)
    (call,) = kept.calls
    assert call.attributes is not None
    assert call.attributes["error.type"] == "cancelled"


async def test_what_is_passed_through_goes_on_in_the_trace(serving: Serving, kept: Kept):
    async with serving(Play([b"{}"], 200), raw=False, traces=kept.traces) as service:
        async with service.http.get(service.url + "/v1.3/assets?secret=1", headers=PARENT) as answer:
            assert answer.status == 200
        (request,) = kept.named("GET /v1.3/")
        sent = sent_of(service)
    assert request.name == "GET /v1.3/{path}"
    assert sent["traceparent"] == f"00-{TRACE}-{ident(request):016x}-01"


async def test_probes_and_scrapes_are_not_traced(serving: Serving, kept: Kept):
    async with serving(Play([]), traces=kept.traces) as service:
        for path in ("/livez", "/readyz", "/metrics"):
            async with service.http.get(service.url + path, headers=PARENT) as answer:
                await answer.read()
    assert not kept.spans


async def test_what_a_sampler_leaves_out_is_handed_on_unsampled(serving: Serving):
    traces = OtelTraces(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False), UPSTREAM)
    async with serving(Play(DONE), traces=traces) as service:
        await service.show(await service.start(), "?wait=5")
        assert sent_of(service)["traceparent"].endswith("-00")
    traces.close()


async def test_without_the_extra_a_callers_trace_is_handed_on_as_it_came_and_stands_in_the_log(serving: Serving):
    with structlog.testing.capture_logs([said_besides]) as lines:
        async with serving(Play(DONE), Play(DONE)) as service:
            body = {"prompt": "p", "video_id": "v"}
            for headers in (PARENT, {}):
                async with service.http.post(service.url + "/v1/streams", json=body, headers=headers) as answer:
                    stream = (await answer.json())["id"]
                await service.show(stream, "?wait=5")
            traced, untraced = sent_of(service, 0), sent_of(service, 1)
            exemplars = service.hub.tally.first_fragment.exemplars
    assert (traced["traceparent"], traced["tracestate"]) == tuple(PARENT.values())
    assert "traceparent" not in untraced
    told = [line.get("trace_id") for line in lines if line["event"] == "stream_ended"]
    assert told == [TRACE, None]
    assert [trace for _, trace in exemplars.values()] == [TRACE]


async def test_a_caller_that_leaves_before_the_first_event_is_told_as_that(serving: Serving, kept: Kept):
    async with serving(Play([Hang()]), traces=kept.traces) as service:
        waiting = asyncio.create_task(service.http.post(service.url + "/v1.3/analyze", json={"prompt": "p"}))
        await until(lambda: service.upstream.open)
        waiting.cancel()
        await until(lambda: kept.named("POST"))
        (span,) = kept.named("POST")
        assert span.attributes["error.type"] == "caller_left"


@pytest.mark.parametrize(
    ("variables", "traces", "metrics"),
    [
        ({}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_METRICS_EXPORTER": "none"}, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False, False),
    ],
)
def test_opentelemetrys_own_variables_say_what_is_exported(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], traces: bool, metrics: bool
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (is_wanted("TRACES"), is_wanted("METRICS")) == (traces, metrics)


@pytest.mark.parametrize("module", ["opentelemetry.nowhere", "nowhere.sdk"])
async def test_a_collector_without_the_extra_is_said_and_the_service_runs(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, module: str
):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(telemetry, "MODULES", (module,))
    with structlog.testing.capture_logs() as lines:
        async with serving(Play(DONE)) as service:
            assert (await service.show(await service.start(), "?wait=5"))["status"] == "completed"
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == ["otel_missing"]


def test_without_a_collector_nothing_of_opentelemetry_is_imported():
    code = "import sys, service.app; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "[]\n"


def test_a_process_names_itself_unless_it_was_named(monkeypatch: pytest.MonkeyPatch):
    told = resource("one").attributes
    assert (told["service.name"], told["service.instance.id"]) == ("fanlight", "one")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "other")
    assert resource("one").attributes["service.name"] == "other"


class Remembering(export.MetricExporter):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[export.MetricsData] = []

    def export(
        self, metrics_data: export.MetricsData, timeout_millis: float = 0, **_: object
    ) -> export.MetricExportResult:
        self.told.append(metrics_data)
        return export.MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_: object) -> None:
        """Nothing is open."""


async def test_the_figures_are_told_by_otlp_as_prometheus_is_told_them(serving: Serving):
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

    from service.web import keys

    exporter = Remembering()
    async with serving(Play(DONE)) as service:
        await service.show(await service.start(), "?wait=5")
        await service.watch(await service.start())
        figures = service.app[keys.FIGURES]
        async with exported(figures.collect, Resource({}), exporter):
            pass
        names = {family.name for family in figures.collect() if family.samples}
    (told,) = exporter.told
    encode_metrics(told)  # can be sent
    metrics = {metric.name: metric for metric in told.resource_metrics[0].scope_metrics[0].metrics}
    assert set(metrics) == names
    first = metrics["fanlight_first_fragment_seconds"].data
    assert isinstance(first, export.Histogram)
    (point,) = first.data_points
    assert (point.count, sum(point.bucket_counts)) == (2, 2)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    endings = metrics["fanlight_endings"].data
    assert isinstance(endings, export.Sum)
    assert [(dict(p.attributes or {}), p.value) for p in endings.data_points] == [
        ({"status": "completed", "code": ""}, 2)
    ]


async def test_a_collector_that_is_not_there_costs_no_call(serving: Serving, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    async with serving(Play(DONE)) as service:
        shown = await service.show(await service.start(), "?wait=5")
        assert shown["status"] == "completed"
        assert "traceparent" in sent_of(service)
