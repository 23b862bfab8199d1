{{- /* Names, labels and the environment: what more than one template needs. */ -}}

{{- define "flow.name" -}}
{{ .Release.Name }}-server
{{- end }}

{{- define "flow.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "flow.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "flow.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "flow.serviceAccount" -}}
{{ .Values.server.serviceAccount.name | default (ternary (include "flow.name" .) "default" .Values.server.serviceAccount.create) }}
{{- end }}

{{- define "flow.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "flow.replicas" -}}
{{- if kindIs "invalid" .Values.server.replicas }}{{ ternary 2 1 .Values.ha }}{{ else }}{{ .Values.server.replicas | int }}{{ end }}
{{- end }}

{{- /* In how many seconds an instance must be ready, or the rollout counts as failed: five minutes beyond catch_up_timeout. */ -}}
{{- define "flow.progressDeadline" -}}
{{- $units := dict "ms" 0.001 "s" 1 "m" 60 "h" 3600 "d" 86400 "w" 604800 }}
{{- $seconds := 300.0 }}
{{- range regexFindAll "[0-9.]+[a-z]+" (get .Values.settings "catch_up_timeout" | default "10m" | toString) -1 }}
{{- $seconds = addf $seconds (mulf (regexFind "[0-9.]+" .) (get $units (regexFind "[a-z]+" .) | default 0)) }}
{{- end }}
{{- minf (ceil $seconds) 2147483647 | int64 }}
{{- end }}

{{- define "flow.stateFolder" }}/var/lib/gocdnext-flow{{ end }}
{{- define "flow.tlsFolder" }}/etc/gocdnext-flow/kafka-tls{{ end }}

{{- /*
What stands behind the URL of a database: how it is asked for by TLS, and the files of the Secret mounted in `folder`.
The Secret with the URL is often made by an operator and cannot be edited.
*/ -}}
{{- define "flow.databaseParameters" -}}
sslmode={{ .tls.mode }}
{{- with .tls.caKey }}&sslrootcert={{ $.folder }}/{{ . }}{{ end }}
{{- with .tls.certificateKey }}&sslcert={{ $.folder }}/{{ . }}{{ end }}
{{- with .tls.privateKeyKey }}&sslkey={{ $.folder }}/{{ . }}{{ end }}
{{- end }}

{{- /* The variable `name` with the address of a database, as it is in its Secret or with parameters of TLS. */ -}}
{{- define "flow.database" -}}
{{- if .database.tls.existingSecret -}}
{{ include "flow.fromSecret" (dict "name" .plain "secret" .database.existingSecret "key" .database.key) }}
- name: {{ .name }}
  value: "$({{ .plain }})?{{ include "flow.databaseParameters" (dict "tls" .database.tls "folder" .folder) }}"
{{- else -}}
{{ include "flow.fromSecret" (dict "name" .name "secret" .database.existingSecret "key" .database.key) }}
{{- end }}
{{- end }}

{{- define "flow.stateTlsFolder" }}/etc/gocdnext-flow/state-tls{{ end }}
{{- define "flow.logDatabaseTlsFolder" }}/etc/gocdnext-flow/log-database-tls{{ end }}

{{- /* Secrets with certificates: a list of what is mounted where, as `volume: {secret, folder}`. */ -}}
{{- define "flow.certificates" -}}
{{- with .Values.kafka.tls.existingSecret }}
kafka-tls: {secret: {{ . }}, folder: {{ include "flow.tlsFolder" $ }}}
{{- end }}
{{- with .Values.state.postgres.tls.existingSecret }}
state-tls: {secret: {{ . }}, folder: {{ include "flow.stateTlsFolder" $ }}}
{{- end }}
{{- with .Values.logDatabase.tls.existingSecret }}
log-database-tls: {secret: {{ . }}, folder: {{ include "flow.logDatabaseTlsFolder" $ }}}
{{- end }}
{{- end }}

{{- /* A value of YAML as a setting takes it: lists by commas, whole numbers without an exponent. */ -}}
{{- define "flow.text" -}}
{{- if kindIs "slice" . }}{{ join "," . }}{{ else if kindIs "float64" . }}{{ . | int64 }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* librdkafka's a.b as a variable. */ -}}
{{- define "flow.kafkaVariable" -}}
GOCDNEXT_FLOW_KAFKA_{{ . | upper | replace "." "_" }}
{{- end }}

{{- define "flow.fromSecret" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end }}

{{- define "flow.environment" -}}
- name: GOCDNEXT_FLOW_LISTEN
  value: 0.0.0.0:8153
- name: GOCDNEXT_FLOW_HA
  value: {{ .Values.ha | quote }}
{{ include "flow.kafkaEnvironment" . }}
{{ if eq .Values.state.type "sqlite" -}}
- name: GOCDNEXT_FLOW_STATE
  value: sqlite:{{ include "flow.stateFolder" . }}/gocdnext-flow.db
{{- else -}}
{{ include "flow.database" (dict "name" "GOCDNEXT_FLOW_STATE" "plain" "STATE_URL" "database" .Values.state.postgres "folder" (include "flow.stateTlsFolder" .)) }}
{{- end }}
{{- with .Values.logDatabase }}
{{- if .existingSecret }}
{{ include "flow.database" (dict "name" "GOCDNEXT_FLOW_LOG_DATABASE" "plain" "LOG_DATABASE_URL" "database" . "folder" (include "flow.logDatabaseTlsFolder" $)) }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: GOCDNEXT_FLOW_{{ upper $name }}
  value: {{ include "flow.text" $value | quote }}
{{- end }}
{{- with .Values.server.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "flow.kafkaEnvironment" -}}
{{- with .Values.kafka -}}
- name: GOCDNEXT_FLOW_BROKERS
  value: {{ .brokers | quote }}
- name: GOCDNEXT_FLOW_TOPIC
  value: {{ .topic | quote }}
- name: GOCDNEXT_FLOW_DEAD_LETTER_TOPIC
  value: {{ .deadLetterTopic | quote }}
- name: GOCDNEXT_FLOW_DECISION_TOPIC
  value: {{ .decisionTopic | quote }}
- name: GOCDNEXT_FLOW_GROUP_ID
  value: {{ .groupId | quote }}
{{- range $property, $value := .properties }}
- name: {{ include "flow.kafkaVariable" $property }}
  value: {{ include "flow.text" $value | quote }}
{{- end }}
{{- $secret := .existingSecret }}
{{- range $property, $key := .secretProperties }}
{{ include "flow.fromSecret" (dict "name" (include "flow.kafkaVariable" $property) "secret" $secret "key" $key) }}
{{- end }}
{{- if .tls.existingSecret }}
{{- range $property, $key := dict "ssl.ca.location" .tls.caKey "ssl.certificate.location" .tls.certificateKey "ssl.key.location" .tls.privateKeyKey }}
{{- if $key }}
- name: {{ include "flow.kafkaVariable" $property }}
  value: {{ include "flow.tlsFolder" $ }}/{{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A file of the project's, its links to runbooks where they lie: (list CONTEXT FILE). */ -}}
{{- define "flow.linked" -}}
{{- $context := index . 0 }}
{{- $context.Files.Get (index . 1) | replace "https://gocdnext.io/flow/runbooks/" (printf "%s/" (trimSuffix "/" $context.Values.server.runbooksUrl)) }}
{{- end }}
