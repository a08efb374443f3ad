{{- define "raft-cluster.name" -}}
{{- default .Release.Name .Values.name }}
{{- end }}

{{- define "raft-cluster.labels" -}}
app.kubernetes.io/name: raft-cluster
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
