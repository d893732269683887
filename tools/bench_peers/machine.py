"""Describes the machine and the versions of the libraries that the figures were measured with."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import report
from environment import PROJECT

PACKAGES = (
    "lightgbm", "xgboost-cpu", "scikit-learn", "onnxruntime", "onnxmltools", "treelite", "tl2cgen", "lleaves", "llvmlite",
    "numpy", "pandas", "polars",
)


def describe() -> str:
    """Returns what is equal on machines with the same software: sections of different runs are kept together if it is equal."""
    table = report.Table("", ["software", ""], [
        ["system", f"{system()}, {platform.machine()}"],
        ["rustc", first_line(["rustc", "--version"])],
        ["gcc", first_line(["gcc", "--version"])],
        ["Python", platform.python_version()],
        *([package, version(package)] for package in PACKAGES),
    ])
    return "### Software\n\n" + table.markdown().split("\n", 2)[2]


def hardware() -> str:
    return f"{processor()}, {cores()} cores, {memory_gib():.0f} GiB"


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def cores() -> int:
    return Path("/proc/cpuinfo").read_text().count("processor\t")


def memory_gib() -> float:
    kib = next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return int(kib) / 1024**2


def system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    except FileNotFoundError:
        return f"there is no {command[0]}"
    return done.stdout.strip().partition("\n")[0] or "it does not say"
