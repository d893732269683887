"""Looks at pages in headless Chromium, which npm installs in a folder below target."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from python_environment import PROJECT, Failure

HERE = Path(__file__).resolve().parent
STATE = PROJECT / "target" / "browser"


def look(pages: list[Path], screenshots: Path) -> list[dict]:
    """Returns what is found in each page, wide and light, and narrow and dark; keeps screenshots."""
    STATE.mkdir(parents=True, exist_ok=True)
    for file in ("package.json", "package-lock.json", "look.mjs"):
        shutil.copy(HERE / file, STATE / file)
    if not shutil.which("npm"):
        raise Failure("npm is needed for the browser that looks at pages: install Node.js 20 or later")
    in_browser(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
    shutil.rmtree(screenshots, ignore_errors=True)
    screenshots.mkdir(parents=True)
    return json.loads(in_browser(["node", "look.mjs", str(screenshots), *map(str, pages)]))


def in_browser(command: list[str]) -> str:
    temporary = STATE / "tmp"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(command, cwd=STATE, env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"{command[0]} failed: {done.stderr.strip()[-600:]}")
    return done.stdout
