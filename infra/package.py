#!/usr/bin/env python3
"""Packs built binaries as Lambda deployment packages: <to>/<name>/bootstrap.zip, and the binary beside it as `bootstrap`.

A package contains the file `bootstrap`; packages for AWS (tools/build) also contain `bom.json`, the binary's bill of
materials. The same files always give the same bytes, so a deployment changes only what has changed.
"""

import argparse
import shutil
import sys
import zipfile
from pathlib import Path

BYTES_PER_MB = 1_000_000
UNIX = 3
EXECUTABLE_FILE = 0o100755 << 16
FILE = 0o100644 << 16
# The earliest date a zip can hold.
NO_DATE = (1980, 1, 1, 0, 0, 0)


def pack(binary: Path, folder: Path, bom: Path | None = None) -> Path:
    """Packs a binary, and its bill of materials if there is one; returns the path of the package."""
    folder.mkdir(parents=True, exist_ok=True)
    package, unfinished = folder / "bootstrap.zip", folder / "bootstrap.tmp"
    with zipfile.ZipFile(unfinished, "w") as archive:
        write(archive, "bootstrap", EXECUTABLE_FILE, binary)
        if bom:
            write(archive, "bom.json", FILE, bom)
    unfinished.replace(package)
    if binary != folder / "bootstrap":
        # The old binary is replaced, not overwritten, because it may be running.
        shutil.copy(binary, unfinished)
        unfinished.chmod(0o755)
        unfinished.replace(folder / "bootstrap")
    return package


def write(archive: zipfile.ZipFile, name: str, attributes: int, file: Path) -> None:
    entry = zipfile.ZipInfo(name, date_time=NO_DATE)
    entry.create_system = UNIX
    entry.external_attr = attributes
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, file.read_bytes(), compresslevel=9)


def megabytes(file: Path) -> str:
    return f"{file.stat().st_size / BYTES_PER_MB:.1f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, default=Path("target/release"), metavar="DIR",
                        help="directory of the built binaries (default: %(default)s)")
    parser.add_argument("--to", type=Path, default=Path("target/local"), metavar="DIR",
                        help="directory of the packages (default: %(default)s)")
    parser.add_argument("names", nargs="+", metavar="NAME", help="binary, also the name of its package")
    args = parser.parse_args()

    missing = [str(args.source / name) for name in args.names if not (args.source / name).is_file()]
    if missing:
        sys.exit(f"package: no such binary: {', '.join(missing)} (build first: cargo build --release)")
    for name in args.names:
        try:
            package = pack(args.source / name, args.to / name)
        except OSError as error:
            sys.exit(f"package: cannot pack {name}: {error}")
        print(f"{package}  {megabytes(package)}  (binary {megabytes(args.source / name)})")


if __name__ == "__main__":
    main()
