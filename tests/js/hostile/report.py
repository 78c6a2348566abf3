# SPDX-License-Identifier: MIT
"""What came of the cases, as Markdown: a summary, and a table for each group."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cases import Case, all_cases
from engines import OURS, PEERS

BEGIN = "<!-- hostile: begin -->"
END = "<!-- hostile: end -->"
LONGEST = 40
"""Characters of an outcome that a cell shows."""


@dataclass
class Result:
    """What came of one case with one engine.

    Attributes:
        outcome: as scripts.py explains; or "SIGSEGV" and the like, "hang", "exit N", "no start".
        text: the error's first line, or the end of stderr of a process that died.
        ms: how long it took, None where it did not end.
        next: "yes", what went wrong, or "" where there was no next call.
        end: what became of the process afterwards; "" if it ended as it should.
    """

    outcome: str = ""
    text: str = ""
    ms: float | None = None
    next: str = ""
    end: str = ""
    stderr: str = ""

    @property
    def offered(self) -> bool:
        """Whether the engine has what the case is about."""
        return self.outcome != "-"

    @property
    def killed(self) -> bool:
        return self.outcome == "abort" or self.outcome.startswith(("SIG", "exit", "no start"))

    @property
    def hung(self) -> bool:
        return self.outcome == "hang"

    @property
    def lost(self) -> bool:
        """It ended, and the next call was not right."""
        return self.next not in ("", "yes")

    @property
    def survived(self) -> bool:
        """It ended, the next call was right, and so was the end of the process."""
        return self.offered and self.next == "yes" and not self.end


Table = dict[tuple[str, str], Result]
"""By the case's id and the engine."""


def cell(result: Result) -> str:
    outcome = re.sub(r"0x[0-9a-f]+", "0x…", result.outcome)
    outcome = outcome.replace("|", "\\|").replace("\n", " ").replace("`", "'").strip()
    if len(outcome) > LONGEST:
        outcome = outcome[: LONGEST - 1] + "…"
    text = f"`{outcome}`" if outcome.startswith("= ") else outcome
    if result.ms is not None and result.offered:
        text += f", {result.ms:,.0f} ms" if result.ms >= 1 else ", <1 ms"
    if result.lost:
        text += f", **next: {result.next.split(':')[0][:LONGEST]}**"
    if result.end:
        text += f", **at exit: {result.end}**"
    return f"**{text}**" if result.killed or result.hung else text


def row(first: str, cells: Iterable[str]) -> str:
    return "| " + " | ".join([first.replace("|", "\\|"), *cells]) + " |"


def head(first: str, kinds: list[str]) -> list[str]:
    return [row(first, kinds), "|---|" + "---|" * len(kinds)]


SUMS: dict[str, Callable[[Result], bool]] = {
    "cases it offers the means for": lambda r: r.offered,
    "ended, and the next call was right": lambda r: r.survived,
    "process killed": lambda r: r.killed,
    "hung": lambda r: r.hung,
    "next call wrong": lambda r: r.lost,
    "trouble at exit": lambda r: bool(r.end) and not r.lost,
}


def summary(table: Table, kinds: list[str], cases: dict[str, Case]) -> list[str]:
    lines = head("", kinds)
    for title, test in SUMS.items():
        counts = [
            sum(c in cases and k == kind and test(r) for (c, k), r in table.items())
            for kind in kinds
        ]
        lines.append(row(title, map(str, counts)))
    return lines


def only_ours(table: Table, kinds: list[str], cases: dict[str, Case]) -> list[str]:
    """The cases that both of ours survive and no peer does that has the means for them."""
    found = []
    for name in cases:
        ours = [table[name, kind] for kind in OURS if (name, kind) in table]
        peers = [table[name, k] for k in kinds if k not in OURS and (name, k) in table]
        met = [result for result in peers if result.offered]
        lost = len(met) > 1 and not any(result.survived for result in met)
        if lost and len(ours) == len(OURS) and all(result.survived for result in ours):
            found.append(f"- {name} ({len(met)} peers)")
    return found


def ours_ended(table: Table, cases: dict[str, Case]) -> list[str]:
    """The cases that took the process of one of ours with them, or had to be ended from without."""
    lines = []
    for name in cases:
        results = {k: table[name, k] for k in OURS if (name, k) in table}
        if any(r.killed or r.hung for r in results.values()):
            what = ", ".join(f"{kind}: {r.outcome}" for kind, r in results.items())
            lines.append(f"- {name} ({what})")
    return lines


def markdown(table: Table, kinds: list[str], versions: str) -> str:
    """The whole report.

    Args:
        kinds: the engines, in the order of the columns.
        versions: what they were, as one sentence.
    """
    cases = all_cases()
    lines = [versions, "", *summary(table, kinds, cases), ""]
    lines += ["### Only ours goes on", ""]
    lines += only_ours(table, kinds, cases) or ["None of those that were run."]
    lines += ["", "### Where ours does not come back", ""]
    lines += ours_ended(table, cases) or ["None of those that were run."]
    group, absent = None, []
    for name, case in cases.items():
        results = [table.get((name, kind)) for kind in kinds]
        if not any(results):
            absent.append(name)
            continue
        if case.group != group:
            group = case.group
            lines += ["", f"### {group[0].upper()}{group[1:]}", "", *head("", kinds)]
        lines.append(row(case.name, ["" if r is None else cell(r) for r in results]))
    if absent:
        lines += ["", f"### Not in this run ({len(absent)})", "", *(f"- {name}" for name in absent)]
    missing = [kind for kind in PEERS if kind not in kinds]
    if missing:
        lines += ["", f"Not installed: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def insert(file: Path, text: str) -> None:
    """Puts a report where a document has its place for it, between BEGIN and END."""
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{file} has no place for the table: {BEGIN} … {END}")
    file.write_text(f"{before}{BEGIN}\n{text}{END}{after}")
