"""What many schedules came to, as a few lines."""

from __future__ import annotations

from collections import Counter

from .schedule import Schedule
from .verdict import Verdict

WORDS = ("lost", "twice", "stuck", "wrong")


class Tally:
    """Adds verdicts up."""

    def __init__(self) -> None:
        self.schedules = 0
        self.failures: list[Verdict] = []
        self._kinds: Counter[str] = Counter()
        self._inside: Counter[str] = Counter()
        self._outside: Counter[str] = Counter()
        self._missed = 0
        self._replicas: Counter[str] = Counter()
        self._slowest = (0.0, 0)

    def add(self, schedule: Schedule, verdict: Verdict) -> None:
        self.schedules += 1
        self._kinds.update((f"folder {schedule.folder}", f"route {schedule.route}"))
        self._kinds.update(("database missing at first",) * schedule.missing)
        for replica in schedule.replicas:
            self._replicas[f"{replica.command}{', executed' if replica.executed else ''}"] += 1
        for dealt in verdict.dealt:
            (self._inside if dealt.inside else self._outside)[dealt.kind] += 1
        self._missed += verdict.missed
        self._slowest = max(self._slowest, (verdict.seconds, verdict.seed))
        if verdict.finding is not None:
            self.failures.append(verdict)

    def found(self, word: str) -> int:
        return sum(verdict.finding is not None and verdict.finding.word == word for verdict in self.failures)

    @property
    def verdict(self) -> str:
        """`5000 schedules: 0 lost, 0 twice, 0 stuck, 0 wrong`."""
        return f"{self.schedules} schedules: " + ", ".join(f"{self.found(word)} {word}" for word in WORDS)

    def text(self) -> str:
        inside, outside = self._inside.total(), self._outside.total()
        drawn = inside + outside + self._missed
        when = f"{inside} fell inside a run, {outside} after it, {self._missed} never came"
        lines = [
            f"schedules  {_counts(self._kinds)}",
            f"replicas   {_counts(self._replicas)}",
            f"faults     {_counts(self._inside + self._outside)}",
            f"           {drawn} drawn: {when}",
            f"slowest    {self._slowest[0]:.1f} s, seed {self._slowest[1]}",
            self.verdict,
        ]
        return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())
