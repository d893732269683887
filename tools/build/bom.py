"""Bill of materials of a package as a CycloneDX 1.6 document: the crates that its binary is built from, as cargo lists
them.

It has no times and no random serial numbers, so the same Cargo.lock gives the same document.
"""

import json
import subprocess
from pathlib import Path


def document(project: Path, package: str, triple: str) -> dict:
    """Returns the bill of materials of `package` built for the target `triple`."""
    metadata = cargo_metadata(project, triple)
    packages = {found["id"]: found for found in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(id for id, found in packages.items() if found["name"] == package and found["source"] is None)
    linked = reach(root, nodes)
    checksums = lock_checksums(project)
    components = [component(packages[id], checksums) for id in linked if id != root]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(packages[root], checksums, kind="application")},
        "components": sorted(components, key=lambda one: one["bom-ref"]),
        "dependencies": sorted(
            ({"ref": ref(packages[id]), "dependsOn": sorted(ref(packages[used]) for used in uses(nodes[id]))} for id in linked),
            key=lambda one: one["ref"],
        ),
    }


def cargo_metadata(project: Path, triple: str) -> dict:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", triple]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def reach(root: str, nodes: dict[str, dict]) -> set[str]:
    found, waiting = {root}, [root]
    while waiting:
        new = uses(nodes[waiting.pop()]) - found
        found |= new
        waiting.extend(new)
    return found


def uses(node: dict) -> set[str]:
    """Returns the ids of a crate's normal and build dependencies, without its dev-dependencies."""
    return {used["pkg"] for used in node["deps"] if any(kind["kind"] != "dev" for kind in used["dep_kinds"])}


def ref(package: dict) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package: dict, checksums: dict[tuple[str, str], str], kind: str = "library") -> dict:
    described = {
        "type": kind,
        "bom-ref": ref(package),
        "name": package["name"],
        "version": package["version"],
        "purl": ref(package),
    }
    if license := package.get("license"):
        # Cargo once allowed a slash where SPDX has OR.
        described["licenses"] = [{"expression": license.replace("/", " OR ")}]
    if checksum := checksums.get((package["name"], package["version"])):
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return described


def lock_checksums(project: Path) -> dict[tuple[str, str], str]:
    """Returns the SHA-256 of each crate's archive, as Cargo.lock pins it."""
    locked, entry = {}, {}
    for line in (project / "Cargo.lock").read_text().splitlines():
        name, equals, value = line.partition(" = ")
        if line == "[[package]]":
            entry = {}
        elif equals:
            entry[name] = value.strip('"')
            if name == "checksum":
                locked[entry["name"], entry["version"]] = entry["checksum"]
    return locked
