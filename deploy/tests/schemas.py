"""schemas.py TARGET DEFINITIONS: the schemas for kubeconform, offline.

TARGET/kubernetes/ holds those of Kubernetes, out of the package kubernetes-validate; TARGET/crds/ those of the custom
resources whose definitions lie in the folder DEFINITIONS. Both are strict: what a schema does not name is refused.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import kubernetes_validate
import yaml


def kubernetes(target: Path) -> int:
    """The schemas of one release; their references become relative to the file."""
    source = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version('kubernetes-validate')}-local-strict"
    target.mkdir(parents=True)
    files = sorted(source.glob("*.json"))
    for file in files:
        schema = json.loads(file.read_text().replace('"/api/_definitions.json#', '"_definitions.json#'))
        schema.pop("$id", None)
        (target / file.name).write_text(json.dumps(schema))
    return len(files)


def strict(schema: dict) -> dict:
    """The same, with nothing allowed that is not named, and Kubernetes' own extension in the words of JSON Schema."""
    open_object = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if "properties" in schema and not open_object:
        schema["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("anyOf", None)
        schema["type"] = ["integer", "string"]
    for child in schema.get("properties", {}).values():
        strict(child)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            strict(schema[key])
    return schema


def custom(target: Path, folder: Path) -> int:
    """One file for each version of each custom resource: GROUP/KIND_VERSION.json."""
    # PyYAML knows a lone `=` as a type of its own and cannot read it; in the definitions it is a text
    yaml.SafeLoader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)
    made = 0
    for file in sorted(folder.glob("*.yaml")):
        for definition in yaml.safe_load_all(file.read_text()):
            if not definition or definition.get("kind") != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
                path = target / spec["group"] / f"{spec['names']['kind'].lower()}_{version['name']}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(schema))
                made += 1
    return made


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print(kubernetes(place / "kubernetes"), "schemas of Kubernetes")
    print(custom(place / "crds", Path(sys.argv[2])), "schemas of custom resources")
