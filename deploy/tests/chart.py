"""What the tests of the chart share: helm, and a look at what it renders."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
KUBERNETES = "1.37.0"
BROKERS = {"kafka": {"brokers": "kafka:9092"}}


def tool(name: str) -> Path:
    """A program that deploy/tests/tools.sh has made."""
    folder = subprocess.run([ROOT / "deploy/tests/tools.sh", "--path", name], check=True, capture_output=True, text=True)
    return Path(folder.stdout.strip()) / name


def program() -> Path:
    """gocdnext-flow, as cargo has built it."""
    return Path(os.environ.get("GOCDNEXT_FLOW", ROOT / "target/debug/gocdnext-flow"))


def helm(*arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True)


def template(values: Path, *arguments: str) -> subprocess.CompletedProcess:
    return helm("template", "ci", CHART, "--namespace", "flow", "--kube-version", KUBERNETES, "--values", values, *arguments)


def merged(base: dict, over: dict) -> dict:
    """`over` wins, key by key."""
    both = dict(base)
    for key, value in over.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def try_values(values: dict) -> subprocess.CompletedProcess:
    """`helm template` with these values."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return template(Path(file.name))


class Rendered:
    """What one set of values gives, by kind."""

    def __init__(self, done: subprocess.CompletedProcess):
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        self.text = done.stdout
        objects = [thing for thing in yaml.safe_load_all(done.stdout) if thing]
        self.by_kind = {thing["kind"]: thing for thing in objects}
        assert len(objects) == len(self.by_kind), "one of each kind"

    @classmethod
    def of(cls, values: dict) -> "Rendered":
        return cls(try_values(merged(BROKERS, values)))

    @classmethod
    def example(cls, name: str) -> "Rendered":
        return cls(template(CHART / "examples" / f"{name}.yaml"))

    def spec(self, kind: str) -> dict:
        return self.by_kind[kind]["spec"]

    def pod(self) -> dict:
        return self.spec("Deployment")["template"]["spec"]

    def container(self) -> dict:
        return self.pod()["containers"][0]

    def environment(self) -> dict:
        """Variables by name: a text, or the reference to a Secret."""
        return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in self.container()["env"]}

    def resolved(self, secrets: dict) -> dict:
        """Variables as the container has them: Secrets by their keys, and `$(NAME)` of a variable further up."""
        variables = {}
        for name, value in self.environment().items():
            text = value if isinstance(value, str) else secrets[value["secretKeyRef"]["key"]]
            variables[name] = re.sub(r"\$\((\w+)\)", lambda found: variables.get(found[1], found[0]), text)
        return variables
