"""./dev package: what is packed, around a small program in place of ours, which takes minutes to build."""

import json
import os
import re
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

from chart import ROOT

VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folders = []
        for _ in range(2):
            # of names that differ in length, too
            folder = tempfile.TemporaryDirectory(prefix="p" * (1 + len(cls.folders)))
            cls.addClassCleanup(folder.cleanup)
            command = [ROOT / "deploy/package/package.sh", "--binary", "/bin/true", folder.name]
            packager = {"DEBFULLNAME": "The Packagers", "DEBEMAIL": "packages@example.org"}
            done = subprocess.run(command, capture_output=True, text=True, env=os.environ | packager)
            assert done.returncode == 0, done.stderr
            cls.folders.append(Path(folder.name) / "out")
        cls.out = cls.folders[0]

    def one(self, pattern: str) -> Path:
        (found,) = self.out.glob(pattern)
        return found

    def test_packed_twice_it_is_the_same(self):
        first, second = ((folder / "SHA256SUMS").read_text() for folder in self.folders)
        self.assertEqual(first, second)
        self.assertEqual(len(first.splitlines()), 3)

    def test_a_program_that_holds_a_path_of_this_machine_is_not_packed(self):
        with tempfile.TemporaryDirectory() as folder:
            section, program = Path(folder) / "section", Path(folder) / "program"
            section.write_text(f"{ROOT}/src/main.rs")
            subprocess.run(["objcopy", "--add-section", f".path={section}", "/bin/true", program], check=True)
            command = [ROOT / "deploy/package/package.sh", "--binary", program, Path(folder) / "work"]
            done = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(f"the program holds {ROOT}", done.stderr)

    def test_the_deb_holds_what_a_service_needs(self):
        deb = self.one("*.deb")
        listed = subprocess.run(["dpkg-deb", "--contents", deb], check=True, capture_output=True, text=True).stdout
        held = {line.split()[5]: line.split() for line in listed.splitlines()}
        for path in (
            "usr/bin/gocdnext-flow",
            "lib/systemd/system/gocdnext-flow.service",
            "etc/gocdnext-flow/gocdnext-flow.toml",
            "usr/share/doc/gocdnext-flow/THIRD-PARTY",
            "usr/share/doc/gocdnext-flow/sbom.cdx.json",
        ):
            self.assertIn(f"./{path}", held)
            self.assertEqual(held[f"./{path}"][1], "root/root")
        control = subprocess.run(["dpkg-deb", "--field", deb], check=True, capture_output=True, text=True).stdout
        self.assertIn(f"Version: {VERSION}\n", control)
        self.assertIn("Maintainer: The Packagers <packages@example.org>\n", control)
        self.assertRegex(control, r"\nDepends: libc6 \(>= [0-9.]+\), ca-certificates\n")
        settings = subprocess.run(["dpkg-deb", "--info", deb, "conffiles"], check=True, capture_output=True, text=True).stdout
        self.assertEqual(settings, "/etc/gocdnext-flow/gocdnext-flow.toml\n", "an upgrade leaves what was changed")

    def test_the_archive_holds_the_program_and_its_papers(self):
        with tarfile.open(self.one("*.tar.gz")) as archive:
            names = [Path(name).name for name in archive.getnames()]
            self.assertEqual({member.mtime for member in archive.getmembers()}, {self.commit_time()})
        for name in ("gocdnext-flow", "gocdnext-flow.service", "LICENSE", "THIRD-PARTY", "sbom.cdx.json"):
            self.assertIn(name, names)

    def commit_time(self) -> int:
        log = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True)
        return int(log.stdout)

    def test_the_bill_lists_what_is_linked_and_nothing_else(self):
        bill = json.loads(self.one("*.cdx.json").read_text())
        self.assertEqual((bill["bomFormat"], bill["specVersion"]), ("CycloneDX", "1.5"))
        self.assertEqual(bill["metadata"]["component"]["version"], VERSION)
        names = {component["name"] for component in bill["components"]}
        self.assertLessEqual({"dataflows", "timely", "rdkafka-sys", "openssl-sys", "tokio"}, names)
        # tests, builds and macros are not in the program
        self.assertFalse({"criterion", "insta", "cc", "serde_derive"} & names)
        references = {component["bom-ref"] for component in [*bill["components"], bill["metadata"]["component"]]}
        for edge in bill["dependencies"]:
            self.assertLessEqual({edge["ref"], *edge["dependsOn"]}, references)
        self.assertEqual(len(bill["dependencies"]), len(references))

    def test_licences_come_with_their_texts(self):
        archive = tarfile.open(self.one("*.tar.gz"))
        self.addCleanup(archive.close)
        (member,) = (member for member in archive.getmembers() if member.name.endswith("/THIRD-PARTY"))
        text = archive.extractfile(member).read().decode()
        for words in ("tokio ", "librdkafka", "Apache License", "Permission is hereby granted", "BSD"):
            self.assertIn(words, text)
        # each package of the list stands above a text, too: its own, or SPDX's where it brings none
        listed, *texts = text.split("=" * 100)
        bearers = {line.split(":")[0] for part in texts for line in part.splitlines() if ": " in line}
        names = {line.split(":")[0] for line in listed.splitlines()[2:] if line}
        self.assertGreater(len(names), 200)
        self.assertLessEqual(names, bearers)
        self.assertIn("Frank McSherry", next(line for line in text.splitlines() if re.match(r"timely [0-9.]+: by ", line)))


if __name__ == "__main__":
    unittest.main()
