"""A real kube-apiserver takes the chart: install, upgrade, rollback, uninstall, and what schemas alone let pass it refuses.

Needs etcd, openssl and the kube-apiserver of deploy/tests/tools.sh. There are no controllers: objects are taken, pods never run.
"""

import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import yaml
from chart import CHART, EXAMPLES, merged, tool

TOKEN = "tests-only"
NAMESPACE = "flow"
# a busy machine may take long; nothing waits when it need not
PATIENCE_S = 120


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Cluster:
    """etcd and kube-apiserver, in a folder of their own."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="api-server-"))
        self.url = f"https://127.0.0.1:{free_port()}"
        self.running = []
        self.tls = ssl.create_default_context()
        # its certificate is made at its start
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.run(
            ["etcd", f"--data-dir={self.folder}/etcd", f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
            + [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"],
            "etcd.log",
        )
        key = self.folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f"{TOKEN},admin,admin,system:masters\n")
        self.run(
            [tool("kube-apiserver"), f"--etcd-servers={client}", f"--secure-port={self.url.rsplit(':')[-1]}"]
            + ["--bind-address=127.0.0.1", f"--cert-dir={self.folder}/certificates", "--endpoint-reconciler-type=none"]
            + [f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}"]
            + ["--service-account-issuer=https://kubernetes.default.svc", f"--token-auth-file={tokens}"]
            + ["--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24"]
            # without controllers nobody makes the default account that it would ask for
            + ["--disable-admission-plugins=ServiceAccount"],
            "kube-apiserver.log",
        )
        self.wait("the API server", lambda: self.ask("GET", "/readyz") == b"ok")
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "clusters": [{"name": "tests", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "tests", "user": {"token": TOKEN}}],
        }
        self.config = self.folder / "kubeconfig"
        self.config.write_text(yaml.safe_dump(config))

    def run(self, command: list, log: str) -> None:
        with open(self.folder / log, "wb") as said:
            self.running.append(subprocess.Popen(command, stdout=said, stderr=said))

    def stop(self) -> None:
        # its data goes with it; an orderly end of the API server would wait for etcd
        for process in self.running:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder)

    def wait(self, what: str, holds) -> None:
        until, last = time.monotonic() + PATIENCE_S, "nothing was wrong"
        while time.monotonic() < until:
            try:
                if holds():
                    return
            except (urllib.error.URLError, ConnectionError) as error:
                last = str(error)
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
            for process in self.running:
                if process.poll() is not None:
                    logs = "".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
                    raise AssertionError(f"a server has ended: {process.args[0]}\n{logs}")
            time.sleep(0.2)
        raise AssertionError(f"in vain: {what} ({last})")

    def ask(self, method: str, path: str, body: str | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/yaml"}
        request = urllib.request.Request(self.url + path, body and body.encode(), headers, method=method)
        with urllib.request.urlopen(request, context=self.tls, timeout=30) as answer:
            return answer.read()

    def read(self, path: str) -> dict | None:
        try:
            return json.loads(self.ask("GET", path))
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise

    def define(self, file: Path) -> None:
        """A custom resource."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        text = file.read_text()
        name = yaml.load(text, yaml.BaseLoader)["metadata"]["name"]
        self.ask("POST", path, text)

        def established() -> bool:
            conditions = self.read(f"{path}/{name}")["status"].get("conditions") or []
            return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)

        self.wait(name, established)

    def helm(self, *arguments: str | Path) -> subprocess.CompletedProcess:
        command = [tool("helm"), "--kubeconfig", self.config, "--namespace", NAMESPACE, *arguments]
        return subprocess.run(command, capture_output=True, text=True)


class Chart(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.stop)
        # the namespace asks for what the chart promises of its pods
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": restricted}}
        cls.cluster.ask("POST", "/api/v1/namespaces", yaml.safe_dump(namespace))
        for file in sorted((tool("python").parent / "definitions").glob("*.yaml")):
            cls.cluster.define(file)

    def helm(self, *arguments: str | Path) -> subprocess.CompletedProcess:
        done = self.cluster.helm(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        # unknown fields and pods that a policy refuses are no more than warnings
        self.assertNotIn("arning", done.stderr)
        return done

    def object(self, path: str, group: str = "apps/v1") -> dict | None:
        prefix = f"/apis/{group}" if "/" in group else "/api/v1"
        return self.cluster.read(f"{prefix}/namespaces/{NAMESPACE}/{path}")

    def test_every_example_is_taken(self):
        for example in EXAMPLES:
            with self.subTest(example.name):
                name = f"example-{example.stem}"
                self.helm("install", name, CHART, "--values", example)
                self.assertIsNotNone(self.object(f"deployments/{name}-server"))
                self.helm("uninstall", name)
                self.assertIsNone(self.object(f"deployments/{name}-server"))

    def test_a_release_is_installed_upgraded_and_rolled_back(self):
        def release() -> tuple:
            deployment = self.object("deployments/ci-server")["spec"]
            return deployment["replicas"], deployment["strategy"]["type"]

        notes = self.helm("install", "ci", CHART, "--values", CHART / "examples/sqlite.yaml").stdout
        self.assertIn("rollout status deployment/ci-server", notes)
        self.assertEqual(release(), (1, "Recreate"))
        monitor = ("servicemonitors/ci-server", "monitoring.coreos.com/v1")
        self.assertIsNone(self.object(*monitor))
        self.helm("upgrade", "ci", CHART, "--values", CHART / "examples/ha.yaml")
        self.assertEqual(release(), (2, "RollingUpdate"))
        self.assertEqual(self.object(*monitor)["spec"]["jobLabel"], "app.kubernetes.io/name")
        self.assertIsNotNone(self.object("prometheusrules/ci-server", "monitoring.coreos.com/v1"))
        claim = ("persistentvolumeclaims/ci-server", "v1")
        self.assertIsNotNone(self.object(*claim), "the counters are kept")
        self.helm("rollback", "ci", "1")
        self.assertEqual(release(), (1, "Recreate"))
        self.assertIsNone(self.object(*monitor))
        self.assertIsNotNone(self.object(*claim))
        self.helm("uninstall", "ci")
        self.assertIsNotNone(self.object(*claim))
        # the volume is found again
        self.helm("install", "ci", CHART, "--values", CHART / "examples/sqlite.yaml")

    def test_it_refuses_what_no_schema_knows(self):
        values = merged(yaml.safe_load((CHART / "examples/sqlite.yaml").read_text()), {"server": {"resources": {"limits": {"cpu": "100x"}}}})
        file = self.cluster.folder / "wrong.yaml"
        file.write_text(yaml.safe_dump(values))
        done = self.cluster.helm("install", "wrong", CHART, "--values", file)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("quantities must match", done.stderr)


if __name__ == "__main__":
    unittest.main()
