"""What a process tells of itself, as families of Prometheus.

Labels are of a few known values each: never a tenant, a key, a stream or a name that a caller chose.
What is counted stands ready, what there is now is looked up when it is asked for.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily, Metric

from service.access.keyring import Keyring
from service.access.limiter import Limiter
from service.hub.audience import Audience
from service.hub.hub import Hub
from service.hub.peers import Peers
from service.hub.tally import Tally
from service.store.journal import Journal
from service.watch.histogram import Histogram
from service.web.connection import Connections
from service.web.memory import MemoryWatch, resident_bytes
from service.web.trail import Watching

BREAKER = ("closed", "open", "half-open")


@dataclass(frozen=True, slots=True)
class Figures:
    """The parts of a process that have something to tell.

    Attributes:
        watching: what was refused, and the audit log.
    """

    hub: Hub
    connections: Connections
    limiter: Limiter
    memory: MemoryWatch
    keyring: Keyring
    watching: Watching

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        yield from _streams(self.hub)
        yield from _store(self.hub.journal)
        yield from _among_nodes(self.hub.peers)
        yield from _readers(self.hub.tally, self.connections)
        yield from _durations(self.hub.tally)
        yield from _upstream(self.hub)
        yield from self._bounds()
        yield from _process()

    def _bounds(self) -> Iterator[Metric]:
        yield _counter("fanlight_limits_hit", "Calls beyond a limit, by limit.", "limit", self.limiter.hits)
        yield _counter("fanlight_refusals", "Calls that were refused, by code.", "code", self.watching.refusals)
        audit = self.watching.audit
        lines, failures = (audit.lines, audit.failures) if audit is not None else (0, 0)
        yield CounterMetricFamily("fanlight_audit_lines", "Lines of the audit log.", lines)
        yield CounterMetricFamily("fanlight_audit_failures", "Lines of it that could not be written.", failures)
        shed = {"reader_refused": self.memory.refused, "reader_sent_away": self.memory.sent_away}
        yield _counter("fanlight_memory_shed", "Readers that memory had no room for.", "what", shed)
        yield GaugeMetricFamily(
            "fanlight_memory_share", "Part of the memory there is that is taken.", self.memory.share
        )
        yield GaugeMetricFamily(
            "fanlight_keys", "Keys that are good, without those of the settings.", self.keyring.count
        )


def _streams(hub: Hub) -> Iterator[Metric]:
    tally = hub.tally
    yield GaugeMetricFamily("fanlight_streams_running", "Streams without an ending.", hub.running)
    running = sum(stream.run.weight for stream in hub.streams_here())
    yield GaugeMetricFamily("fanlight_running_bytes", "Bytes of streams without an ending.", running)
    yield GaugeMetricFamily("fanlight_streams_kept", "Ended streams that are kept.", len(hub.kept))
    yield GaugeMetricFamily("fanlight_kept_bytes", "Bytes of ended streams that are kept.", hub.kept.bytes)
    words = "Ended streams that memory gave up before their time, by the bound that they went for."
    yield _counter("fanlight_evictions", words, "bound", hub.kept.evicted)
    yield CounterMetricFamily("fanlight_events", "Upstream events of ended streams.", tally.events)
    yield CounterMetricFamily("fanlight_text_bytes", "Bytes of text of ended streams.", tally.text_bytes)
    yield _counter("fanlight_starts", "Starts, by how they came to a stream.", "join", tally.joins)
    endings = CounterMetricFamily("fanlight_endings", "Endings.", labels=["status", "code"])
    for (status, code), count in tally.endings.items():
        endings.add_metric([status, code], count)
    yield endings


def _store(journal: Journal) -> Iterator[Metric]:
    yield GaugeMetricFamily("fanlight_store_up", "Whether what is shown can be kept.", int(journal.up))
    yield CounterMetricFamily("fanlight_store_failures", "How often the store came to fail.", journal.failures)
    yield CounterMetricFamily("fanlight_store_commits", "Commits of the store.", journal.commit_s.count)
    yield _histogram("fanlight_store_commit_seconds", "What they took.", journal.commit_s)
    yield GaugeMetricFamily("fanlight_store_backlog_bytes", "Text that waits for a commit.", journal.backlog_bytes)
    yield CounterMetricFamily("fanlight_store_changes", "What was written in them.", journal.changes)


def _among_nodes(peers: Peers | None) -> Iterator[Metric]:
    """What a node has to do with the others on its store; zeros where there are none."""
    mirrors, behind = (peers.mirrors, peers.behind_bytes) if peers else (0, 0)
    repairs, taken = (peers.repairs, peers.leases_taken) if peers else (0, 0)
    yield GaugeMetricFamily("fanlight_store_mirrors", "Streams of other nodes that are followed.", mirrors)
    yield GaugeMetricFamily("fanlight_store_mirror_behind_bytes", "What they had missed when last compared.", behind)
    yield CounterMetricFamily("fanlight_store_mirror_repairs", "How often they had missed something.", repairs)
    yield CounterMetricFamily("fanlight_store_leases_taken", "Streams that were taken over from other nodes.", taken)


def _readers(tally: Tally, connections: Connections) -> Iterator[Metric]:
    counts, lags = Counter[tuple[str, str]](), list[int]()
    for audience in (audience for stream in tally.watched for audience in stream.audiences()):
        counts[_seen(audience)] += len(audience)
        lags += audience.lags()
    readers = GaugeMetricFamily("fanlight_readers", "Readers of streams.", labels=["transport", "view"])
    for labels, count in counts.items():
        readers.add_metric(labels, count)
    yield readers
    yield GaugeMetricFamily("fanlight_readers_behind", "Readers that have not been given all.", sum(map(bool, lags)))
    yield GaugeMetricFamily("fanlight_lag_bytes", "Text that readers have not been given, in all.", sum(lags))
    words = "Text that the reader who is furthest behind has not been given."
    yield GaugeMetricFamily("fanlight_lag_largest_bytes", words, max(lags, default=0))
    yield GaugeMetricFamily("fanlight_connections", "Connections that are open to readers.", len(connections))
    words = "Bytes that were written to readers and that the kernel has no room for."
    yield GaugeMetricFamily("fanlight_unsent_bytes", words, connections.unsent_bytes)
    yield _counter("fanlight_attaches", "Readers of streams that came, by where they began.", "result", tally.attaches)


def _seen(audience: Audience) -> tuple[str, str]:
    """Transport and view; what a view's name says behind a slash may be a caller's word."""
    return audience.framing.name.rstrip("+").partition("/")[0], audience.view.name.partition("/")[0]


def _durations(tally: Tally) -> Iterator[Metric]:
    yield _histogram("fanlight_first_fragment_seconds", "From a start to its first fragment.", tally.first_fragment)
    yield _histogram("fanlight_fragment_gap_seconds", "Between two fragments of the upstream.", tally.fragment_gap)
    words = "From the receipt of a fragment to the last write of it to readers at its place."
    yield _histogram("fanlight_delivery_seconds", words, tally.delivery)
    yield _histogram("fanlight_loop_lag_seconds", "How late a timer of each second was.", tally.loop_lag)


def _upstream(hub: Hub) -> Iterator[Metric]:
    yield CounterMetricFamily("fanlight_upstream_retries", "Further attempts at upstream calls.", hub.tally.retries)
    breaker = GaugeMetricFamily("fanlight_breaker_state", "1 for the state of the circuit breaker.", labels=["state"])
    for state in BREAKER:
        breaker.add_metric([state], int(hub.breaker.state == state))
    yield breaker


def _process() -> Iterator[Metric]:
    # Under the names that all exporters give them.
    yield CounterMetricFamily("process_cpu_seconds", "Time of the processor.", time.process_time())
    yield GaugeMetricFamily("process_resident_memory_bytes", "Memory that is taken.", resident_bytes())


def _counter(name: str, words: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, words, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _histogram(name: str, words: str, figure: Histogram) -> HistogramMetricFamily:
    buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    below = 0
    for place, bound in enumerate((*figure.bounds, float("inf"))):
        below += figure.counts[place]
        edge = "+Inf" if bound == float("inf") else str(bound)
        if place in figure.exemplars:
            value, trace_id = figure.exemplars[place]
            buckets.append((edge, below, Exemplar({"trace_id": trace_id}, value)))
        else:
            buckets.append((edge, below))
    family = HistogramMetricFamily(name, words)
    family.add_metric([], buckets, figure.sum)
    return family
