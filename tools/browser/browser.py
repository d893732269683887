"""Looks at pages in headless Chromium."""

import json
import shutil
from pathlib import Path

import node_environment
from python_environment import PROJECT

HERE = Path(__file__).resolve().parent
STATE = PROJECT / "target" / "browser"


def look(pages: list[Path], screenshots: Path) -> list[dict]:
    """Returns what is found in each page, wide and light, and narrow and dark; keeps screenshots."""
    node_environment.install(HERE, STATE)
    shutil.rmtree(screenshots, ignore_errors=True)
    screenshots.mkdir(parents=True)
    return json.loads(node_environment.run(["node", "look.mjs", str(screenshots), *map(str, pages)], STATE))


def tried(url: str, screenshots: Path) -> list[dict]:
    """Returns what happens on the page of the web function, wide and light, and narrow and dark; keeps screenshots."""
    node_environment.install(HERE, STATE)
    shutil.rmtree(screenshots, ignore_errors=True)
    screenshots.mkdir(parents=True)
    return json.loads(node_environment.run(["node", "try.mjs", str(screenshots), url], STATE))
