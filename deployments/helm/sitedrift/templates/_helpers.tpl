{{- define "sitedrift.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sitedrift.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "sitedrift.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sitedrift.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sitedrift.selector" -}}
app.kubernetes.io/name: {{ include "sitedrift.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sitedrift.labels" -}}
{{ include "sitedrift.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sitedrift.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "sitedrift.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* sitedrift.yml: what the user wrote, with what the chart decides in its place. */}}
{{- define "sitedrift.config" -}}
{{- $dir := "file:/run/secrets/sitedrift/" -}}
{{- $decided := dict
  "data_dir" "/var/lib/sitedrift"
  "state" (printf "%sstate" $dir)
  "warehouse" (dict "mode" "clickhouse" "dsn" (printf "%swarehouse" $dir))
  "vault" (dict "key_file" "/run/secrets/sitedrift/vault.key")
  "server" (dict "metrics" (printf "0.0.0.0:%d" (int .Values.metrics.port)) "control_socket" "/var/lib/sitedrift/control.sock")
-}}
{{- if .Values.secrets.oauth.name -}}
{{- $_ := set $decided "oauth" (dict "client_secret" (printf "%soauth" $dir)) -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $decided) -}}
{{- end -}}
