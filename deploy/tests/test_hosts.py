"""What runs on hosts: the systemd unit and the compose file, as far as they can be checked without either running."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml
from chart import ROOT, program, tool

UNIT = ROOT / "deploy/systemd/gocdnext-flow.service"
COMPOSE = ROOT / "deploy/compose"
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def settings(variables: dict, *arguments: str | Path) -> subprocess.CompletedProcess:
    """What the program makes of these variables."""
    clean = {"PATH": os.environ["PATH"]}
    return subprocess.run([program(), "config", "show", *arguments], env=clean | variables, capture_output=True, text=True)


class Systemd(unittest.TestCase):
    def analyze(self, text: str, *arguments: str) -> subprocess.CompletedProcess:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / UNIT.name
            # the program is not installed here; another that is stands in
            file.write_text(text.replace("ExecStart=/usr/bin/gocdnext-flow run", "ExecStart=/bin/true"))
            return subprocess.run(["systemd-analyze", *arguments, file], capture_output=True, text=True)

    def test_the_unit_is_verified(self):
        done = self.analyze(UNIT.read_text(), "verify", "--man=no")
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        wrong = self.analyze(UNIT.read_text().replace("PrivateTmp=", "PrivateTemp="), "verify", "--man=no")
        self.assertIn("PrivateTemp", wrong.stderr, "a setting that does not exist is found")

    def test_it_is_hardened(self):
        # tenths of systemd's exposure, from 0 (nothing) to 100
        hardened = ("security", "--offline=true", "--threshold=15", "--no-pager")
        self.assertEqual(self.analyze(UNIT.read_text(), *hardened).returncode, 0)
        self.assertNotEqual(self.analyze("[Service]\nExecStart=/bin/true\n", *hardened).returncode, 0)

    def test_what_only_people_can_mend_is_not_tried_again(self):
        unit = UNIT.read_text()
        self.assertIn("\nRestartPreventExitStatus=2 4\n", unit)
        refused = settings({}, "--set", "no_such_setting=1")
        self.assertEqual(refused.returncode, 2)

    def test_the_settings_are_taken(self):
        shown = settings({}, "--config", UNIT.with_suffix(".toml"))
        self.assertEqual(shown.returncode, 0, shown.stderr)


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # it takes paths as relative to where it is called
        read = subprocess.run([tool("compose"), "compose.yml"], cwd=COMPOSE, capture_output=True, text=True)
        assert read.returncode == 0, read.stderr
        cls.services = yaml.safe_load(read.stdout)["services"]

    def test_the_reader_of_compose_finds_faults(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write((COMPOSE / "compose.yml").read_text().replace("healthcheck:", "healthchecks:"))
            file.flush()
            self.assertNotEqual(subprocess.run([tool("compose"), file.name], capture_output=True).returncode, 0)

    def test_what_is_mounted_is_there(self):
        binds = [mount for service in self.services.values() for mount in service.get("volumes", []) if mount["type"] == "bind"]
        self.assertEqual(len(binds), 6)
        for bind in binds:
            self.assertTrue(Path(bind["source"]).exists(), bind["source"])

    def test_the_program_takes_its_environment(self):
        shown = settings(self.services["flow"]["environment"])
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("kafka:9092", shown.stdout)
        topics = self.services["topics"]["command"][0]
        for setting in ("topic", "dead_letter_topic", "decision_topic"):
            self.assertIn(re.search(rf"^{setting} +(\S+)", shown.stdout, re.MULTILINE)[1], topics)
        self.assertEqual(self.services["flow"]["image"], f"gocdnext-flow:{VERSION}")

    def test_prometheus_takes_its_configuration(self):
        with tempfile.TemporaryDirectory() as folder:
            for mount in self.services["prometheus"]["volumes"]:
                if mount["type"] == "bind":
                    shutil.copy(mount["source"], Path(folder) / Path(mount["target"]).name)
            done = subprocess.run(["promtool", "check", "config", f"{folder}/prometheus.yml"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("2 rule files found", done.stdout)

    def test_grafana_finds_the_dashboard(self):
        grafana = {mount["target"]: Path(mount["source"]) for mount in self.services["grafana"]["volumes"]}
        provider = yaml.safe_load((COMPOSE / "grafana/dashboards.yml").read_text())["providers"][0]
        self.assertTrue((grafana[provider["options"]["path"]] / "gocdnext.json").exists())
        source = yaml.safe_load((COMPOSE / "grafana/datasources.yml").read_text())["datasources"][0]
        self.assertEqual(source["url"], "http://prometheus:9090")


if __name__ == "__main__":
    unittest.main()
