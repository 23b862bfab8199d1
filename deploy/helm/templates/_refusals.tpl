{{- /*
What does not go together is refused here, each with a sentence that says what to do. Types and names are
values.schema.json's business. Included by deployment.yaml, which is always rendered.
*/ -}}
{{- define "flow.refusals" -}}
{{- include "flow.refusals.state" . -}}
{{- include "flow.refusals.databases" . -}}
{{- include "flow.refusals.kafka" . -}}
{{- include "flow.refusals.certificates" . -}}
{{- include "flow.refusals.settings" . -}}
{{- include "flow.refusals.agents" . -}}
{{- end }}

{{- define "flow.refusals.state" -}}
{{- $replicas := include "flow.replicas" . | int -}}
{{- if and .Values.ha (eq .Values.state.type "sqlite") }}
{{- fail "ha needs a database that all instances reach: set state.type to postgres and state.postgres.existingSecret" }}
{{- end }}
{{- if and (gt $replicas 1) (not .Values.ha) }}
{{- fail (printf "server.replicas is %d, but without ha there is one instance: set ha to true, or leave server.replicas out" $replicas) }}
{{- end }}
{{- if and .Values.ha (eq $replicas 1) }}
{{- fail "server.replicas is 1, but ha needs an instance that stands by: leave server.replicas out, or set it to 2 or more" }}
{{- end }}
{{- if and (eq .Values.state.type "postgres") (not .Values.state.postgres.existingSecret) }}
{{- fail "state.type is postgres: name the Secret that holds the database's URL in state.postgres.existingSecret" }}
{{- end }}
{{- if and (eq .Values.state.type "sqlite") .Values.state.postgres.existingSecret }}
{{- fail "state.postgres.existingSecret is set, but state.type is sqlite: set state.type to postgres" }}
{{- end }}
{{- if and (eq .Values.state.type "postgres") .Values.state.sqlite.existingClaim }}
{{- fail "state.sqlite.existingClaim is set, but state.type is postgres: leave it out" }}
{{- end }}
{{- if and .Values.server.podDisruptionBudget.enabled (not .Values.ha) }}
{{- fail "server.podDisruptionBudget needs ha: with a single replica it would stop every node from being drained" }}
{{- end }}
{{- end }}

{{- define "flow.refusals.databases" -}}
{{- if and .Values.state.postgres.tls.existingSecret (ne .Values.state.type "postgres") }}
{{- fail "state.postgres.tls.existingSecret is set, but state.type is sqlite: set state.type to postgres, or leave it out" }}
{{- end }}
{{- if and .Values.logDatabase.tls.existingSecret (not .Values.logDatabase.existingSecret) }}
{{- fail "logDatabase.tls.existingSecret is set, but no log database: name the Secret that holds its URL in logDatabase.existingSecret" }}
{{- end }}
{{- end }}

{{- define "flow.refusals.certificates" -}}
{{- range $name, $tls := dict "kafka.tls" .Values.kafka.tls "state.postgres.tls" .Values.state.postgres.tls "logDatabase.tls" .Values.logDatabase.tls }}
{{- if and (or $tls.certificateKey $tls.privateKeyKey) (not (and $tls.certificateKey $tls.privateKeyKey $tls.existingSecret)) }}
{{- fail (printf "%s: certificateKey, privateKeyKey and existingSecret go together: set all or none" $name) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "flow.refusals.kafka" -}}
{{- with .Values.kafka }}
{{- if not .brokers }}
{{- fail "kafka.brokers is missing: set it to host:port, several separated by commas" }}
{{- end }}
{{- if and .secretProperties (not .existingSecret) }}
{{- fail "kafka.secretProperties is set, but no Secret: name it in kafka.existingSecret" }}
{{- end }}
{{- if and .existingSecret (not .secretProperties) }}
{{- fail "kafka.existingSecret is set, but nothing of it is used: say in kafka.secretProperties which of its keys is which setting, e.g. sasl.password: password" }}
{{- end }}
{{- range $property, $_ := .properties }}
{{- if regexMatch "password|passphrase|secret|token|jaas|oauthbearer\\.config|key\\.pem|private" $property }}
{{- fail (printf "kafka.properties holds %s, which is a secret: put it into a Secret and name its key in kafka.secretProperties" $property) }}
{{- end }}
{{- end }}
{{- $protocol := get .properties "security.protocol" | default "plaintext" | lower }}
{{- if and .tls.existingSecret (not (hasSuffix "ssl" $protocol)) }}
{{- fail (printf "kafka.tls.existingSecret is set, but security.protocol is %s: set kafka.properties.\"security.protocol\" to SSL or SASL_SSL" $protocol) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "flow.refusals.settings" -}}
{{- $own := dict "listen" "the port is 8153" "ha" "ha" "state" "state" "log_database" "logDatabase" "instance_id" "each pod is called by its own name" }}
{{- $own = merge $own (dict "brokers" "kafka.brokers" "topic" "kafka.topic" "dead_letter_topic" "kafka.deadLetterTopic" "decision_topic" "kafka.decisionTopic" "group_id" "kafka.groupId") }}
{{- range $name, $_ := .Values.settings }}
{{- if hasKey $own $name }}
{{- fail (printf "settings.%s has a place of its own in this chart: %s" $name (get $own $name)) }}
{{- end }}
{{- end }}
{{- if and (get .Values.settings "retention_execute") (not .Values.logDatabase.existingSecret) }}
{{- fail "settings.retention_execute needs the log database: name the Secret that holds its URL in logDatabase.existingSecret" }}
{{- end }}
{{- end }}

{{- define "flow.refusals.agents" -}}
{{- with .Values.agentAutoscaling }}
{{- if .enabled }}
{{- if not .prometheusAddress }}
{{- fail "agentAutoscaling needs agentAutoscaling.prometheusAddress: the URL of the Prometheus that KEDA asks" }}
{{- end }}
{{- if not .scaleTargetRef.name }}
{{- fail "agentAutoscaling needs agentAutoscaling.scaleTargetRef.name: what runs the agents" }}
{{- end }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "agentAutoscaling.minReplicas is %d, more than agentAutoscaling.maxReplicas, %d" (int .minReplicas) (int .maxReplicas)) }}
{{- end }}
{{- if and .authModes (not .authenticationRef) }}
{{- fail "agentAutoscaling.authModes needs agentAutoscaling.authenticationRef: the TriggerAuthentication that holds the credentials" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
