{{/* The chart's name. */}}
{{- define "model-health-agent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of everything that is made. */}}
{{- define "model-health-agent.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 56 | trimSuffix "-" }}
{{- else if contains (include "model-health-agent.name" .) .Release.Name }}
{{- .Release.Name | trunc 56 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "model-health-agent.name" .) | trunc 56 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What is made for the agent: 7 characters longer. */}}
{{- define "model-health-agent.health" -}}
{{- include "model-health-agent.fullname" . }}-health
{{- end }}

{{- define "model-health-agent.selectorLabels" -}}
app.kubernetes.io/name: {{ include "model-health-agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "model-health-agent.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "model-health-agent.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Whether the document goes through the API server, and the account that it does so with. */}}
{{- define "model-health-agent.usesApi" -}}
{{- if hasKey (default dict .Values.checks.runtime) "kubernetes" }}true{{ end }}
{{- end }}

{{- define "model-health-agent.serviceAccountName" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if include "model-health-agent.usesApi" . }}{{ include "model-health-agent.health" . }}
{{- end }}
{{- end }}

{{/* The kind of the restart action; none where nothing is said. */}}
{{- define "model-health-agent.action" -}}
{{- $restart := default dict .Values.checks.restart }}
{{- default "none" (first (keys (default dict $restart.action))) }}
{{- end }}

{{/* One check, or a list of them, as a list. */}}
{{- define "model-health-agent.list" -}}
{{- if kindIs "slice" . }}{{ toYaml . }}{{ else if . }}{{ toYaml (list .) }}{{ else }}[]{{ end }}
{{- end }}

{{/* The agent's document. */}}
{{- define "model-health-agent.config" -}}
{{- if .Values.checks.preset }}
{{- fail "checks.preset: write the checks out (`health-agent presets NAME` prints them): the server's probes follow from their numbers" }}
{{- end }}
{{- $container := merge (dict "name" .Values.server.name) .Values.checks }}
{{- toYaml (merge (dict "containers" (list $container)) .Values.agent.settings) }}
{{- end }}

{{/*
Failures of the server's startupProbe, of 5 s each: the longest of the startup checks and a minute, or, without any,
the 90 s that the liveness probe bears. A check first probes at the first multiple of its period that is not before its
delay.
*/}}
{{- define "model-health-agent.startupFailures" -}}
{{- $longest := -1.0 }}
{{- range include "model-health-agent.list" .Values.checks.startup_check | fromYamlArray }}
{{- $period := default 10 .period_seconds | float64 }}
{{- $first := mulf $period (ceil (divf (default 0 .initial_delay_seconds | float64) $period)) }}
{{- $longest = maxf $longest (addf $first (mulf $period (subf (default 3 .failure_threshold | float64) 1))) }}
{{- end }}
{{- if lt $longest 0.0 }}18{{ else }}{{ ceil (divf (addf $longest 60) 5) | int64 }}{{ end }}
{{- end }}

{{/* The server's probes: the kubelet asks the agent. */}}
{{- define "model-health-agent.probes" -}}
{{- $checks := .Values.checks }}
{{- $action := include "model-health-agent.action" . }}
{{- if or $checks.startup_check $checks.liveness_check }}
startupProbe:
  httpGet: {path: /startupz/{{ .Values.server.name }}, port: {{ .Values.agent.port }}}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: {{ include "model-health-agent.startupFailures" . }}
{{- end }}
{{- if $checks.readiness_check }}
readinessProbe:
  httpGet: {path: /ready/{{ .Values.server.name }}, port: {{ .Values.agent.port }}}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}
{{- if and $checks.liveness_check (has $action (list "none" "signal")) }}
{{- $grace := 30.0 }}
{{- if eq $action "signal" }}
{{- $grace = maxf 30 (default 30 $checks.restart.grace_period_seconds | float64) }}
{{- range concat (include "model-health-agent.list" $checks.startup_check | fromYamlArray) (include "model-health-agent.list" $checks.liveness_check | fromYamlArray) }}
{{- $grace = maxf $grace (default 0 .termination_grace_period_seconds | float64) }}
{{- end }}
{{- end }}
livenessProbe:
  httpGet: {path: /healthz/{{ .Values.server.name }}, port: {{ .Values.agent.port }}}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: {{ ceil (divf (addf $grace 60) 10) | int64 }}
{{- end }}
{{- end }}

{{/* Folders that the agent writes to. */}}
{{- define "model-health-agent.stateFolder" -}}
{{- with .Values.agent.settings.state_file }}{{ dir . }}{{ end }}
{{- end }}

{{/* The agent's container, for a pod of yours too. */}}
{{- define "model-health-agent.sidecar" -}}
- name: health-agent
  image: {{ printf "%s:%s" .Values.agent.image.repository (default .Chart.AppVersion .Values.agent.image.tag) }}
  imagePullPolicy: {{ .Values.agent.image.pullPolicy }}
  {{- if eq .Values.agent.sidecar "native" }}
  restartPolicy: Always
  {{- end }}
  args: [run, --serve-on-config-error, --watch-config]
  env:
    - {name: HEALTH_AGENT_SERVER__PORT, value: {{ .Values.agent.port | quote }}}
    {{- if include "model-health-agent.usesApi" . }}
    - name: POD_NAME
      valueFrom:
        fieldRef: {fieldPath: metadata.name}
    {{- end }}
    {{- with .Values.agent.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - {name: health-agent, containerPort: {{ .Values.agent.port }}}
  volumeMounts:
    - {name: health-agent-config, mountPath: /etc/health-agent, readOnly: true}
    {{- with include "model-health-agent.stateFolder" . }}
    - {name: health-agent-state, mountPath: {{ . }}}
    {{- end }}
    {{- if include "model-health-agent.usesApi" . }}
    - {name: health-agent-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    {{- end }}
    {{- with .Values.agent.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  # Its own health only: it must start before the server may, and a sick server is no reason to restart it.
  startupProbe:
    httpGet: {path: /-/healthy, port: {{ .Values.agent.port }}}
    periodSeconds: 1
    failureThreshold: 60
  livenessProbe:
    httpGet: {path: /-/healthy, port: {{ .Values.agent.port }}}
    periodSeconds: 5
    failureThreshold: 2
    terminationGracePeriodSeconds: 5
  {{- with .Values.agent.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- if ne (toString .Values.agent.runAsUser) "" }}
    runAsUser: {{ .Values.agent.runAsUser | int64 }}
    {{- end }}
    runAsNonRoot: {{ ne (toString .Values.agent.runAsUser) "0" }}
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities: {drop: [ALL]}
    seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* What the agent's container mounts. */}}
{{- define "model-health-agent.volumes" -}}
- name: health-agent-config
  configMap: {name: {{ include "model-health-agent.health" . }}}
{{- if include "model-health-agent.stateFolder" . }}
- name: health-agent-state
  emptyDir: {}
{{- end }}
{{- if include "model-health-agent.usesApi" . }}
# The token of the pod's account, for the agent alone.
- name: health-agent-token
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap:
          name: kube-root-ca.crt
          items:
            - {key: ca.crt, path: ca.crt}
      - downwardAPI:
          items:
            - path: namespace
              fieldRef: {fieldPath: metadata.namespace}
{{- end }}
{{- end }}

{{/* Whether a check runs a command in the server's container. */}}
{{- define "model-health-agent.runsInside" -}}
{{- range $key := list "startup_check" "readiness_check" "liveness_check" }}
{{- range include "model-health-agent.list" (get $.Values.checks $key) | fromYamlArray }}
{{- if eq (toString (dig "exec" "in" "" .)) "container" }}true{{ end }}
{{- end }}
{{- end }}
{{- end }}
