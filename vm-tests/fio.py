"""The jobs of the volume benchmarks, and their table: ratios of the same run."""

from __future__ import annotations

import json

JOBS = {
    "4 KiB random write, depth 1": "--rw=randwrite --bs=4k --iodepth=1",
    "the same, each with a flush": "--rw=randwrite --bs=4k --iodepth=1 --fsync=1",
    "4 KiB random write, depth 32": "--rw=randwrite --bs=4k --iodepth=32",
    "64 KiB write, depth 16": "--rw=write --bs=64k --iodepth=16",
    "4 KiB random read, depth 32": "--rw=randread --bs=4k --iodepth=32",
}


def command(where: str, how: str, seconds: int = 4) -> str:
    return f"fio --name=x {where} --time_based --ramp_time=0.5 --runtime={seconds} --output-format=json {how}"


def result(said: str, how: str, busy: float) -> dict[str, float]:
    """`busy`: processor time of everything that takes part, in seconds."""
    job = json.loads(said[said.index("{"):])["jobs"][0]
    side = job["read"] if "read" in how else job["write"]
    ranks = side["clat_ns"]["percentile"]
    return {"iops": side["iops"], "p50": ranks["50.000000"] / 1000, "p99": ranks["99.000000"] / 1000, "cpu": busy * 1e6 / max(1, side["total_ios"])}


def median(values: list[float]) -> float:
    values = sorted(values)
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def table(found: dict[tuple[str, str], list[dict[str, float]]], names: list[str], ours: str) -> str:
    """`found`: what was measured, by stack and job; each of `names` next to `ours`."""
    lines = ["| job | stack | requests a second | p50 us | p99 us | CPU us per request | requests, ours to it | p50, ours to it |", "|---|---|---|---|---|---|---|---|"]
    for job in JOBS:
        of = {name: {key: median([one[key] for one in found[name, job]]) for key in ("iops", "p50", "p99", "cpu")} for name in names}
        for name in names:
            it, us = of[name], of[ours]
            ratios = "" if name == ours else f"{us['iops'] / it['iops']:.2f} | {us['p50'] / it['p50']:.2f}"
            lines.append(f"| {job} | {name} | {it['iops']:.0f} | {it['p50']:.0f} | {it['p99']:.0f} | {it['cpu']:.1f} | {ratios or ' | '} |")
    return "\n".join(lines)
