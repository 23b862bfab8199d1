"""inventory.py METADATA FOLDER: what the binary is made of, from `cargo metadata`: FOLDER/sbom.cdx.json (CycloneDX 1.5) and
FOLDER/THIRD-PARTY, the licences with their texts. The same input gives the same bytes."""

import json
import re
import sys
from pathlib import Path
from urllib.parse import quote

LICENCE_FILES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE")
# texts as SPDX publishes them, for packages that name a licence and bring no text
STANDARD = Path(__file__).parent / "licences"
RULE = "=" * 100


def linked(metadata: dict) -> list[dict]:
    """The packages whose code is in the binary: reached over dependencies that are neither for builds nor for tests."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    reached, left = set(), [metadata["resolve"]["root"]]
    while left:
        package = left.pop()
        if package in reached:
            continue
        reached.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                left.append(dependency["pkg"])
    packages = [package for package in metadata["packages"] if package["id"] in reached and not is_macro(package)]
    return sorted(packages, key=lambda package: (package["name"], package["version"]))


def is_macro(package: dict) -> bool:
    """Run while building, like a build script, and not linked."""
    return any("proc-macro" in target["kind"] for target in package["targets"])


def licence_files(package: dict) -> list[Path]:
    """Those of the crate, and of the C library that it may bring along."""
    root = Path(package["manifest_path"]).parent
    patterns = ["*", "*/*", "*/*/*"] if package["name"].endswith("-sys") else ["*"]
    files = (file for pattern in patterns for file in root.glob(pattern))
    return sorted(file for file in files if file.is_file() and file.name.upper().startswith(LICENCE_FILES))


def standard(package: dict) -> Path:
    """The text of the first licence that a package offers, of those that are here."""
    for name in re.split(r" OR |/", package["license"] or ""):
        if (STANDARD / name.strip(" ()")).is_file():
            return STANDARD / name.strip(" ()")
    sys.exit(f"{package['name']} brings no licence text, and there is none of {package['license']} in {STANDARD}: put SPDX's there")


def reference(package: dict) -> str:
    return f"pkg:cargo/{quote(package['name'])}@{quote(package['version'])}"


def component(package: dict, kind: str) -> dict:
    return {
        "type": kind,
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "licenses": [{"expression": (package["license"] or "NOASSERTION").replace("/", " OR ")}],
        "purl": reference(package),
    }


def bill(metadata: dict, packages: list[dict]) -> dict:
    """No serial number and no date: they would differ each time."""
    known = {package["id"]: reference(package) for package in packages}
    root = metadata["resolve"]["root"]
    main = next(package for package in packages if package["id"] == root)
    edges = []
    for node in metadata["resolve"]["nodes"]:
        if node["id"] in known:
            on = sorted({known[dependency] for dependency in node["dependencies"] if dependency in known})
            edges.append({"ref": known[node["id"]], "dependsOn": on})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(main, "application")},
        "components": [component(package, "library") for package in packages if package["id"] != root],
        "dependencies": sorted(edges, key=lambda edge: edge["ref"]),
    }


def third_party(packages: list[dict]) -> str:
    """A list, then each text once with those that come under it."""
    ours = [package for package in packages if package["source"] is None]
    foreign = [package for package in packages if package["source"] is not None]
    bearers: dict[str, list[str]] = {}
    for package in foreign:
        files = licence_files(package)
        by = ", ".join(re.sub(r" *<.*?>", "", author) for author in package["authors"]) or "its contributors"
        names = [(file, file.name) for file in files] or [(standard(package), f"by {by}; the text is SPDX's")]
        for file, name in names:
            text = "\n".join(line.rstrip() for line in file.read_text(errors="replace").strip().splitlines())
            bearers.setdefault(text, []).append(f"{package['name']} {package['version']}: {name}")
    lines = [f"{ours[0]['name']} contains the following, each under a licence of its own.", ""]
    lines += [f"{package['name']} {package['version']}: {package['license']}" for package in foreign]
    for text, names in sorted(bearers.items(), key=lambda item: item[1]):
        lines += ["", RULE, *dict.fromkeys(names), RULE, "", text]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    described, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    inside = linked(described)
    (folder / "sbom.cdx.json").write_text(json.dumps(bill(described, inside), indent=1) + "\n")
    (folder / "THIRD-PARTY").write_text(third_party(inside))
    print(f"{len(inside)} packages are in the binary")
