"""What a measure has seen, and how it stands to its goal."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Measure:
    """One measure of several contenders, a value of each a round."""

    name: str
    unit: str
    seen: dict[str, list[float]] = field(default_factory=dict)

    def add(self, contender: str, value: float) -> None:
        """The value of one round."""
        self.seen.setdefault(contender, []).append(value)

    def against(self, contender: str, other: str) -> list[float]:
        """Ratios, each within one round."""
        return [one / two for one, two in zip(self.seen[contender], self.seen[other], strict=True)]

    def beyond(self, contender: str, other: str) -> list[float]:
        """Differences, each within one round."""
        return [one - two for one, two in zip(self.seen[contender], self.seen[other], strict=True)]

    def median(self, contender: str) -> float:
        """Over the rounds."""
        return statistics.median(self.seen[contender])


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure to reach (the contract, section 3), and what was seen of it, a value a round."""

    name: str
    must: float
    aim: float
    seen: Sequence[float]
    form: str = "{:.2f}"


def table(measures: Sequence[Measure]) -> None:
    """Medians, and from least to most."""
    print("| measure | contender | median | least | most |\n|---|---|---:|---:|---:|")
    for measure in measures:
        for contender, seen in measure.seen.items():
            cells = (f"{value:,.2f}" for value in (statistics.median(seen), min(seen), max(seen)))
            print(f"| {measure.name}, {measure.unit} | {contender} | {' | '.join(cells)} |")


def verdicts(goals: Sequence[Goal]) -> None:
    """Goals beside what was seen."""
    print("\n| goal | must | aim | median | least | most | |\n|---|---:|---:|---:|---:|---:|---|")
    for goal in goals:
        middle = statistics.median(goal.seen)
        word = "aim" if middle <= goal.aim else "must" if middle <= goal.must else "**missed**"
        cells = (goal.form.format(value) for value in (goal.must, goal.aim, middle, min(goal.seen), max(goal.seen)))
        print(f"| {goal.name} | {' | '.join(cells)} | {word} |", flush=True)
