#!/usr/bin/env python3
"""Packs built binaries as Lambda deployment packages: <to>/<name>/bootstrap.zip, one file `bootstrap` inside.

The same binary always gives the same bytes, so a deployment changes only what has changed.
"""

import argparse
import sys
import zipfile
from pathlib import Path

BYTES_PER_MB = 1_000_000
UNIX = 3
EXECUTABLE_FILE = 0o100755 << 16
# The earliest date a zip can hold.
NO_DATE = (1980, 1, 1, 0, 0, 0)


def pack(binary: Path, package: Path) -> None:
    entry = zipfile.ZipInfo("bootstrap", date_time=NO_DATE)
    entry.create_system = UNIX
    entry.external_attr = EXECUTABLE_FILE
    entry.compress_type = zipfile.ZIP_DEFLATED
    package.parent.mkdir(parents=True, exist_ok=True)
    unfinished = package.with_suffix(".tmp")
    with zipfile.ZipFile(unfinished, "w") as archive:
        archive.writestr(entry, binary.read_bytes(), compresslevel=9)
    unfinished.replace(package)


def megabytes(file: Path) -> str:
    return f"{file.stat().st_size / BYTES_PER_MB:.1f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, default=Path("target/release"), metavar="DIR",
                        help="directory of the built binaries (default: %(default)s)")
    parser.add_argument("--to", type=Path, default=Path("target/lambda"), metavar="DIR",
                        help="directory of the packages (default: %(default)s)")
    parser.add_argument("names", nargs="+", metavar="NAME", help="binary, also the name of its package")
    args = parser.parse_args()

    missing = [str(args.source / name) for name in args.names if not (args.source / name).is_file()]
    if missing:
        sys.exit(f"package: no such binary: {', '.join(missing)} (build first: cargo build --release)")
    for name in args.names:
        package = args.to / name / "bootstrap.zip"
        try:
            pack(args.source / name, package)
        except OSError as error:
            sys.exit(f"package: cannot pack {name}: {error}")
        print(f"{package}  {megabytes(package)}  (binary {megabytes(args.source / name)})")


if __name__ == "__main__":
    main()
