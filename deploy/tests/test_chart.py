"""The chart: what it renders, what it refuses, and that Kubernetes' schemas and the program take it."""

import json
import os
import re
import subprocess
import tempfile
import unittest

import yaml
from chart import BROKERS, CHART, EXAMPLES, KUBERNETES, ROOT, Rendered, helm, merged, program, template, tool, try_values

POSTGRES = {"state": {"type": "postgres", "postgres": {"existingSecret": "database"}}}
HA = merged(POSTGRES, {"ha": True})


class Examples(unittest.TestCase):
    def test_helm_lint_has_nothing_to_say(self):
        for example in EXAMPLES:
            with self.subTest(example.name):
                lint = helm("lint", "--strict", "--kube-version", KUBERNETES, CHART, "--values", example)
                self.assertEqual(lint.returncode, 0, lint.stdout + lint.stderr)

    def test_they_are_valid_by_the_schemas_of_kubernetes_and_of_the_custom_resources(self):
        schemas = tool("python").parent / "schemas"
        command = [tool("kubeconform"), "-strict", "-output", "json", "-summary"]
        command += ["-schema-location", f"{schemas}/kubernetes/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"]
        command += ["-schema-location", f"{schemas}/crds/{{{{ .Group }}}}/{{{{ .ResourceKind }}}}_{{{{ .ResourceAPIVersion }}}}.json"]

        def conform(text: str) -> dict:
            return json.loads(subprocess.run(command, input=text, capture_output=True, text=True).stdout)

        for example in EXAMPLES:
            with self.subTest(example.name):
                rendered = Rendered(template(example))
                found = conform(rendered.text)
                expected = {"valid": len(rendered.by_kind), "invalid": 0, "errors": 0, "skipped": 0}
                self.assertEqual(found["summary"], expected, found["resources"])
        for field in ("replicas:", "jobLabel:", "scaleTargetRef:", "groups:"):
            spoilt = Rendered.example("full").text.replace(field, f"no-such-{field}")
            self.assertEqual(conform(spoilt)["summary"]["invalid"], 1, f"no-such-{field} is found")

    def test_the_program_takes_the_environment(self):
        secrets = dict.fromkeys(("state-url", "url", "logs-url", "uri"), "postgres://u:p@db/flow")
        secrets |= dict.fromkeys(("username", "password"), "secret")
        for example in EXAMPLES:
            with self.subTest(example.name):
                variables = Rendered(template(example)).resolved(secrets)
                clean = {"PATH": os.environ["PATH"]}
                shown = subprocess.run([program(), "config", "show"], env=clean | variables, capture_output=True, text=True)
                self.assertEqual(shown.returncode, 0, shown.stderr)
                self.assertIn(variables["GOCDNEXT_FLOW_BROKERS"], shown.stdout)


class Refusals(unittest.TestCase):
    # values over those that are well, and the sentence
    WRONG = [
        ({"kafka": {"brokers": ""}}, "kafka.brokers is missing"),
        ({"ha": True}, "ha needs a database that all instances reach"),
        ({"server": {"replicas": 2}}, "without ha there is one instance"),
        (merged(HA, {"server": {"replicas": 1}}), "ha needs an instance that stands by"),
        ({"state": {"type": "postgres"}}, "name the Secret that holds the database's URL"),
        ({"state": {"postgres": {"existingSecret": "db"}}}, "but state.type is sqlite"),
        (merged(POSTGRES, {"state": {"sqlite": {"existingClaim": "old"}}}), "but state.type is postgres: leave it out"),
        ({"server": {"podDisruptionBudget": {"enabled": True}}}, "it would stop every node from being drained"),
        ({"kafka": {"secretProperties": {"sasl.password": "p"}}}, "name it in kafka.existingSecret"),
        ({"kafka": {"existingSecret": "k"}}, "nothing of it is used"),
        ({"kafka": {"properties": {"sasl.password": "p"}}}, "which is a secret: put it into a Secret"),
        ({"kafka": {"tls": {"existingSecret": "t"}}}, "but security.protocol is plaintext"),
        ({"state": {"postgres": {"tls": {"existingSecret": "t"}}}}, "set state.type to postgres, or leave it out"),
        ({"logDatabase": {"tls": {"existingSecret": "t"}}}, "but no log database"),
        (merged(POSTGRES, {"state": {"postgres": {"tls": {"existingSecret": "t", "certificateKey": "c"}}}}), "state.postgres.tls: certificateKey"),
        ({"logDatabase": {"tls": {"privateKeyKey": "k"}}}, "logDatabase.tls: certificateKey"),
        ({"kafka": {"tls": {"certificateKey": "c", "privateKeyKey": "k"}}}, "kafka.tls: certificateKey, privateKeyKey and existingSecret go together"),
        ({"settings": {"ha": True}}, "settings.ha has a place of its own in this chart: ha"),
        ({"settings": {"topic": "t"}}, "settings.topic has a place of its own in this chart: kafka.topic"),
        ({"settings": {"retention_execute": True}}, "needs the log database"),
        ({"agentAutoscaling": {"enabled": True}}, "needs agentAutoscaling.prometheusAddress"),
        ({"agentAutoscaling": {"enabled": True, "prometheusAddress": "http://p"}}, "scaleTargetRef.name: what runs the agents"),
        (
            {
                "agentAutoscaling": {
                    "enabled": True,
                    "prometheusAddress": "http://p",
                    "scaleTargetRef": {"name": "a"},
                    "minReplicas": 20,
                }
            },
            "agentAutoscaling.minReplicas is 20, more than agentAutoscaling.maxReplicas, 10",
        ),
        (
            {
                "agentAutoscaling": {
                    "enabled": True,
                    "prometheusAddress": "http://p",
                    "scaleTargetRef": {"name": "a"},
                    "authModes": "bearer",
                }
            },
            "needs agentAutoscaling.authenticationRef",
        ),
        # by the schema
        ({"serviceMonitor": {"enabled": True}}, "'serviceMonitor' not allowed"),
        ({"server": {"serviceMonitor": {"intervall": "30s"}}}, "'intervall' not allowed"),
        ({"server": {"serviceMonitor": {"interval": "30"}}}, "/server/serviceMonitor/interval"),
        ({"state": {"type": "mysql"}}, "/state/type"),
        ({"ha": "yes"}, "/ha"),
        (merged(POSTGRES, {"state": {"postgres": {"tls": {"mode": "prefer"}}}}), "/state/postgres/tls/mode"),
        ({"settings": {"Job-TTL": "1h"}}, "'Job-TTL' does not match"),
        ({"agentAutoscaling": {"threshold": 0}}, "/agentAutoscaling/threshold"),
    ]

    def test_what_does_not_go_together_is_refused_with_a_sentence(self):
        self.assertEqual(try_values(BROKERS).returncode, 0)
        for values, sentence in self.WRONG:
            with self.subTest(sentence):
                done = try_values(merged(BROKERS, values))
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(sentence, done.stderr)

    def test_every_refusal_is_tested(self):
        written = len(re.findall(r"\bfail \(?", (CHART / "templates/_refusals.tpl").read_text()))
        by_schema = sum("not allowed" in sentence or "not match" in sentence or sentence.startswith("/") for _, sentence in self.WRONG)
        # one rule is tested with two settings, and one with three certificates
        self.assertEqual(len(self.WRONG) - by_schema - 3, written)


class Server(unittest.TestCase):
    def test_the_service_is_scraped_while_it_is_not_ready(self):
        service = Rendered.of({}).by_kind["Service"]
        self.assertEqual(service["metadata"]["name"], "ci-server")
        self.assertEqual(service["spec"]["ports"], [{"name": "http", "port": 8153, "targetPort": "http"}])
        self.assertIs(service["spec"]["publishNotReadyAddresses"], True)

    def test_only_readiness_asks_for_more_than_the_process(self):
        container = Rendered.of({}).container()
        asked = {probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        self.assertEqual(asked, {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"})
        self.assertEqual(container["ports"], [{"name": "http", "containerPort": 8153}])

    def test_one_replica_is_recreated_and_several_take_turns(self):
        one = Rendered.of({}).spec("Deployment")
        self.assertEqual((one["replicas"], one["strategy"]), (1, {"type": "Recreate"}))
        self.assertEqual(Rendered.of({"server": {"replicas": 0}}).spec("Deployment")["replicas"], 0)
        two = Rendered.of(HA)
        self.assertEqual(two.spec("Deployment")["replicas"], 2)
        self.assertEqual(two.spec("Deployment")["strategy"]["type"], "RollingUpdate")
        self.assertEqual(two.environment()["GOCDNEXT_FLOW_HA"], "true")
        self.assertIn("podAntiAffinity", two.pod()["affinity"])

    def test_a_rollout_waits_longer_than_readiness_for_the_catch_up(self):
        seconds = {None: 900, "1h30m": 5700, "2.5s": 303, "0s": 300, "1w 1d": 691500, "36500d": 2147483647}
        for timeout, deadline in seconds.items():
            settings = {"catch_up_timeout": timeout} if timeout else {}
            self.assertEqual(Rendered.of({"settings": settings}).spec("Deployment")["progressDeadlineSeconds"], deadline, timeout)

    def test_it_may_do_nothing_that_it_need_not(self):
        rendered = Rendered.example("full")
        pod, container = rendered.pod(), rendered.container()
        self.assertTrue(pod["securityContext"]["runAsNonRoot"])
        self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"])
        self.assertFalse(container["securityContext"]["allowPrivilegeEscalation"])
        self.assertEqual(container["securityContext"]["capabilities"], {"drop": ["ALL"]})
        self.assertFalse(pod["automountServiceAccountToken"])
        self.assertFalse(pod["enableServiceLinks"], "they would look like settings")

    def test_sqlite_lies_on_a_volume_that_an_uninstall_leaves(self):
        rendered = Rendered.of({})
        claim = rendered.by_kind["PersistentVolumeClaim"]
        self.assertEqual(claim["metadata"]["annotations"], {"helm.sh/resource-policy": "keep"})
        self.assertEqual(rendered.environment()["GOCDNEXT_FLOW_STATE"], "sqlite:/var/lib/gocdnext-flow/gocdnext-flow.db")
        mounts = {mount["name"]: mount["mountPath"] for mount in rendered.container()["volumeMounts"]}
        self.assertEqual(mounts["state"], "/var/lib/gocdnext-flow")
        existing = Rendered.of({"state": {"sqlite": {"existingClaim": "old"}}})
        self.assertNotIn("PersistentVolumeClaim", existing.by_kind)
        self.assertIn({"name": "state", "persistentVolumeClaim": {"claimName": "old"}}, existing.pod()["volumes"])
        self.assertNotIn("PersistentVolumeClaim", Rendered.of(POSTGRES).by_kind)

    def test_secrets_are_named_and_never_held(self):
        rendered = Rendered.example("full")
        variables = rendered.environment()

        def reference(secret: str, key: str) -> dict:
            return {"secretKeyRef": {"name": secret, "key": key}}

        self.assertEqual(variables["GOCDNEXT_FLOW_STATE"], reference("flow-database", "state-url"))
        self.assertEqual(variables["GOCDNEXT_FLOW_LOG_DATABASE"], reference("flow-database", "logs-url"))
        self.assertEqual(variables["GOCDNEXT_FLOW_KAFKA_SASL_PASSWORD"], reference("flow-kafka", "password"))
        self.assertEqual(variables["GOCDNEXT_FLOW_KAFKA_SSL_CA_LOCATION"], "/etc/gocdnext-flow/kafka-tls/ca.crt")
        self.assertNotIn("Secret", rendered.by_kind)

    def test_certificates_of_databases_are_mounted_and_named_behind_their_urls(self):
        rendered = Rendered.example("postgres-tls")
        variables = rendered.resolved({"url": "postgres://u:p@db/state", "uri": "postgresql://u@db/logs"})
        state, logs = "/etc/gocdnext-flow/state-tls", "/etc/gocdnext-flow/log-database-tls"
        self.assertEqual(variables["GOCDNEXT_FLOW_STATE"], f"postgres://u:p@db/state?sslmode=verify-full&sslrootcert={state}/ca.crt")
        named = f"sslrootcert={logs}/ca.crt&sslcert={logs}/tls.crt&sslkey={logs}/tls.key"
        self.assertEqual(variables["GOCDNEXT_FLOW_LOG_DATABASE"], f"postgresql://u@db/logs?sslmode=verify-full&{named}")
        mounts = {mount["mountPath"]: mount for mount in rendered.container()["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in rendered.pod()["volumes"]}
        for folder, secret in ((state, "flow-database-ca"), (logs, "flow-logs-tls")):
            self.assertTrue(mounts[folder]["readOnly"])
            self.assertEqual(volumes[mounts[folder]["name"]]["secret"], {"secretName": secret, "defaultMode": 0o440})
        # the public authorities, checked all the same
        public = Rendered.of(merged(POSTGRES, {"state": {"postgres": {"tls": {"existingSecret": "t", "caKey": ""}}}}))
        self.assertEqual(public.environment()["GOCDNEXT_FLOW_STATE"], "$(STATE_URL)?sslmode=verify-full")

    def test_settings_keep_their_values(self):
        settings = {"max_remembered_ids": 200000000, "duration_buckets": ["1s", "5m"], "job_results": False, "job_ttl": "48h"}
        rendered = Rendered.of({"settings": settings, "kafka": {"properties": {"fetch.max.bytes": 52428800}, "topic": "1"}})
        variables = rendered.environment()
        self.assertEqual(variables["GOCDNEXT_FLOW_MAX_REMEMBERED_IDS"], "200000000", "no exponent")
        self.assertEqual(variables["GOCDNEXT_FLOW_DURATION_BUCKETS"], "1s,5m")
        self.assertEqual(variables["GOCDNEXT_FLOW_JOB_RESULTS"], "false")
        self.assertEqual(variables["GOCDNEXT_FLOW_KAFKA_FETCH_MAX_BYTES"], "52428800")
        self.assertEqual(variables["GOCDNEXT_FLOW_TOPIC"], "1")


class Monitoring(unittest.TestCase):
    def test_flags_bring_what_they_say_and_nothing_else_is_there(self):
        least = {"Deployment", "Service", "ServiceAccount", "PersistentVolumeClaim"}
        self.assertEqual(set(Rendered.of({}).by_kind), least)
        flags = {
            "ServiceMonitor": {"server": {"serviceMonitor": {"enabled": True}}},
            "PrometheusRule": {"server": {"prometheusRule": {"enabled": True}}},
            "ConfigMap": {"server": {"dashboard": {"enabled": True}}},
            "NetworkPolicy": {"server": {"networkPolicy": {"enabled": True}}},
            "ScaledObject": {
                "agentAutoscaling": {"enabled": True, "prometheusAddress": "http://p", "scaleTargetRef": {"name": "a"}}
            },
        }
        for kind, values in flags.items():
            self.assertEqual(set(Rendered.of(values).by_kind), least | {kind})
        budget = Rendered.of(merged(HA, {"server": {"podDisruptionBudget": {"enabled": True}}}))
        self.assertEqual(budget.spec("PodDisruptionBudget")["maxUnavailable"], 1)

    def test_the_service_monitor_finds_the_service_and_makes_the_dataflow_series_one(self):
        rendered = Rendered.example("full")
        monitor = rendered.by_kind["ServiceMonitor"]
        self.assertEqual(monitor["metadata"]["labels"]["release"], "prometheus")
        selector = monitor["spec"]["selector"]["matchLabels"]
        self.assertLessEqual(selector.items(), rendered.by_kind["Service"]["metadata"]["labels"].items())
        self.assertEqual(monitor["spec"]["namespaceSelector"], {"matchNames": ["flow"]})
        endpoint = monitor["spec"]["endpoints"][0]
        self.assertEqual((endpoint["port"], endpoint["path"], endpoint["interval"]), ("http", "/metrics", "15s"))
        # the rules that tests/relabelling.rs gives to a real Prometheus
        rules = yaml.safe_load((CHART / "files/metric-relabelings.yaml").read_text())
        rules[0]["replacement"] = "ci-server"
        self.assertEqual(endpoint["metricRelabelings"][:2], rules)
        self.assertEqual(len(endpoint["metricRelabelings"]), 3, "and the user's own after them")

    def test_rules_and_dashboard_are_those_of_the_project(self):
        rendered = Rendered.example("full")
        files = [yaml.safe_load((ROOT / "deploy/prometheus" / name).read_text()) for name in ("recording.yml", "alerts.yml")]
        self.assertEqual(rendered.spec("PrometheusRule"), {"groups": files[0]["groups"] + files[1]["groups"]})
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as rules:
            yaml.safe_dump(rendered.spec("PrometheusRule"), rules)
            rules.flush()
            checked = subprocess.run(["promtool", "check", "rules", rules.name], capture_output=True, text=True)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        dashboard = rendered.by_kind["ConfigMap"]
        self.assertEqual(dashboard["metadata"]["labels"]["grafana_dashboard"], "1")
        original = (ROOT / "docs/grafana/gocdnext.json").read_text()
        self.assertEqual(json.loads(dashboard["data"]["gocdnext.json"]), json.loads(original))

    def test_one_value_says_where_the_runbooks_are(self):
        shown = {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}
        for url in ("https://wiki.example.org/ci", "https://wiki.example.org/ci/"):
            rendered = Rendered.of({"server": shown | {"runbooksUrl": url}})
            rules = [rule for group in rendered.spec("PrometheusRule")["groups"] for rule in group["rules"] if "alert" in rule]
            self.assertGreater(len(rules), 10)
            for rule in rules:
                self.assertEqual(rule["annotations"]["runbook_url"], f"https://wiki.example.org/ci/{rule['alert']}.md")
            dashboard = rendered.by_kind["ConfigMap"]["data"]["gocdnext.json"]
            self.assertIn("https://wiki.example.org/ci/GocdnextNoAgents.md", dashboard)
            self.assertNotIn("gocdnext.io", dashboard)

    def test_every_pod_is_scraped_by_itself(self):
        # a ServiceMonitor reads the endpoints of a Service, unless it is told to read the Service
        self.assertNotIn("serviceDiscoveryRole", Rendered.example("ha").spec("ServiceMonitor"))

    def test_the_network_policy_lets_in_whom_it_names(self):
        policy = Rendered.example("full").spec("NetworkPolicy")
        self.assertEqual(policy["ingress"][0]["ports"], [{"port": "http"}])
        self.assertEqual(len(policy["ingress"][0]["from"]), 1)
        self.assertEqual([rule["ports"][0]["port"] for rule in policy["egress"]], [53, 9093, 5432])
        self.assertEqual(Rendered.of({"server": {"networkPolicy": {"enabled": True}}}).spec("NetworkPolicy")["policyTypes"], ["Ingress"])

    def test_agents_stay_when_prometheus_has_no_answer(self):
        trigger = Rendered.example("agents-keda").spec("ScaledObject")["triggers"][0]["metadata"]
        self.assertEqual(trigger["ignoreNullValues"], "false")
        self.assertEqual(trigger["threshold"], "4")
        query = 'sum(gocdnext_queue_depth{stage_status="dispatchable",job="gocdnext-flow",namespace="flow",instance="ci-server"})'
        self.assertEqual(trigger["query"], query)


class Documents(unittest.TestCase):
    def test_the_readme_lists_every_value_with_its_default(self):
        rows = re.findall(r"^\| `([^`]+)` \| `([^`]*)` \|", (CHART / "README.md").read_text(), re.MULTILINE)
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        for name, default in rows:
            value = values
            for part in name.split("."):
                value = value[part]
            self.assertEqual(json.loads(default), value, name)
        names = {name for name, _ in rows}
        self.assertEqual(len(names), len(rows), "none twice")

        def leaves(value: dict, path: str) -> set:
            if path in names or not isinstance(value, dict):
                return {path}
            return {leaf for key, child in value.items() for leaf in leaves(child, f"{path}.{key}".lstrip("."))}

        self.assertEqual(leaves(values, ""), names)

    def test_the_version_is_the_programs(self):
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        cargo = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
        self.assertEqual((chart["version"], chart["appVersion"]), (cargo[1], cargo[1]))


if __name__ == "__main__":
    unittest.main()
