"""The figures of all workers in one answer, whichever of them is asked.

Each worker answers about itself on a private socket in one directory. Whoever is asked for
the figures asks the others there, and labels every sample with the worker that told it: sums
are left to who reads them, so that nothing is counted twice.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from protocol.ndjson import dumps, loads
from service.web.unix import answer_of, figures_at


def socket_in(directory: Path, index: int, turn: int) -> Path:
    """Where a worker answers its siblings; ``turn`` others had its index before it."""
    return directory / f"{index}.{turn}.sock"


@dataclass(frozen=True, slots=True)
class Siblings:
    """The workers that share a port with this one.

    Attributes:
        directory: the sockets of all, named as `socket_in` has it.
        own: this worker's.
        count: how many workers there should be.
    """

    directory: Path
    own: Path
    count: int

    async def together(self, own: Iterable[Metric]) -> list[Metric]:
        """This worker's figures and those of its siblings, each sample with its worker; and who answered."""
        newest = self._newest()
        others = {index: path for index, path in newest.items() if path != self.own}
        answers = await asyncio.gather(*map(figures_at, others.values()))
        told = {index: own for index, path in newest.items() if path == self.own}
        told |= {index: figures for index, figures in zip(others, answers, strict=True) if figures is not None}
        up = GaugeMetricFamily("fanlight_worker_up", "Whether the worker told its figures.", labels=["worker"])
        for index in range(self.count):
            up.add_metric([str(index)], int(index in told))
        return [up, *_by_worker(told)]

    async def ask(self, method: str, path: str, body: Mapping[str, str]) -> list[Any]:
        """What each of the others answers; who does not answer in time is left out."""
        others = [other for other in self._newest().values() if other != self.own]
        answers = await asyncio.gather(*(answer_of(other, method, path, dumps(dict(body))) for other in others))
        return [loads(answer) for answer in answers if answer is not None]

    def _newest(self) -> dict[int, Path]:
        """Each worker's socket. While one is being replaced it has two: the successor speaks for both."""
        sockets = {_index_and_turn(path): path for path in self.directory.glob("*.sock")}
        return {index: sockets[index, turn] for index, turn in sorted(sockets)}


def _index_and_turn(path: Path) -> tuple[int, int]:
    index, turn = path.stem.split(".")
    return int(index), int(turn)


def _by_worker(told: Mapping[int, Iterable[Metric]]) -> list[Metric]:
    """One family of each name, with the samples of all."""
    families: dict[str, Metric] = {}
    for index, metrics in sorted(told.items()):
        for metric in metrics:
            family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for sample in metric.samples:
                labels = {"worker": str(index), **sample.labels}
                family.add_sample(sample.name, labels, sample.value, exemplar=sample.exemplar)
    return list(families.values())
