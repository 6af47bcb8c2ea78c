{{/* Labels of every object. */}}
{{- define "ms.labels" -}}
{{- toYaml .Values.labels }}
crm.carrental/release: {{ (last .Values.tracks).release | quote }}
{{- end }}

{{- define "ms.annotations" -}}
{{- toYaml .Values.annotations }}
{{- end }}

{{/* Name and namespace, labels and annotations of an object. Takes: root, name. */}}
{{- define "ms.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "ms.labels" .root | nindent 2 }}
annotations:
  {{- include "ms.annotations" .root | nindent 2 }}
{{- end }}

{{/* Labels of a pod. Takes: root, track, part (predictor, transformer or the name of a node apart). */}}
{{- define "ms.podLabels" -}}
{{- toYaml .root.Values.labels }}
crm.carrental/release: {{ .track.release | quote }}
crm.carrental/model-version: {{ .track.model_version | quote }}
{{ include "ms.selector" . }}
{{- end }}

{{/* What picks the pods of one track and part. Takes: root, track, part. */}}
{{- define "ms.selector" -}}
app.kubernetes.io/name: {{ .root.Values.service }}
crm.carrental/track: {{ .track.name }}
crm.carrental/part: {{ .part }}
{{- end }}

{{/* Whether Seldon's orchestrator stands before the model: "true" or nothing. */}}
{{- define "ms.engine" -}}
{{- if .Values.orchestrator }}true{{ end -}}
{{- end }}

{{/* The Deployment that the operator makes of a track. Takes: root, track. */}}
{{- define "ms.deployment" -}}
{{- if eq .root.Values.platform "seldon" -}}
{{ .root.Values.service }}-{{ .track.name }}-0-app
{{- else -}}
{{ .root.Values.service }}-predictor
{{- end -}}
{{- end }}

{{/* Service that requests of a track go to. Takes: root, track. */}}
{{- define "ms.backend" -}}
{{- if eq .root.Values.platform "seldon" -}}
{{ .root.Values.service }}-{{ .track.name }}
{{- else -}}
{{ .root.Values.service }}-http
{{- end -}}
{{- end }}

{{- define "ms.backendPort" -}}
{{- if and (eq .Values.platform "seldon") (include "ms.engine" .) }}8000{{ else }}8080{{ end -}}
{{- end }}
