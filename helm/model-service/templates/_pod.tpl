{{/* What a container may use. Takes: one Resources of the values. */}}
{{- define "ms.resources" -}}
requests:
  cpu: {{ .cpu | quote }}
  memory: {{ .memory | quote }}
limits:
  {{- with .cpu_limit }}
  cpu: {{ . | quote }}
  {{- end }}
  memory: {{ .memory | quote }}
  {{- if .gpu }}
  nvidia.com/gpu: {{ .gpu | quote }}
  {{- end }}
{{- end }}

{{- define "ms.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Probes of a container. Takes: its port. */}}
{{- define "ms.probes" -}}
startupProbe:
  httpGet: {path: /v2/health/live, port: {{ . }}}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 90
readinessProbe:
  httpGet: {path: /v2/health/ready, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /v2/health/live, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
{{- end }}

{{/* The gateway learns that the pod goes before the server is told. Takes: root. */}}
{{- define "ms.preStop" -}}
lifecycle:
  preStop:
    exec:
      command: [python, -c, "import time; time.sleep({{ .Values.pre_stop_s }})"]
{{- end }}

{{- define "ms.env" -}}
- {name: HOME, value: /tmp}
{{- if .Values.redis_url_file }}
- {name: CRM_REDIS_URL_FILE, value: /etc/crm/secrets/redis-url}
{{- end }}
{{- end }}

{{- define "ms.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: state, mountPath: /app/.crm}
- {name: switch, mountPath: /etc/crm/switch, readOnly: true}
{{- if ne .Values.secrets.by "none" }}
- {name: secrets, mountPath: /etc/crm/secrets, readOnly: true}
{{- end }}
{{- end }}

{{/* The model's own container. Takes: root, track, name, port (its name). */}}
{{- define "ms.model" -}}
- name: {{ .name }}
  image: {{ .track.image }}
  imagePullPolicy: IfNotPresent
  command: [python, -m, carrental_mlops.serving.server]
  args:
    - --repo=/app
    - --bundle=/app/bundle
    - --env={{ .root.Values.env }}
    - --set=serving.host=0.0.0.0
    - --set=serving.port=8080
    {{- if and .root.Values.grpc (not .root.Values.serverless) }}
    - --set=serving.grpc_port=8081
    {{- end }}
  ports:
    - {name: {{ .port }}, containerPort: 8080, protocol: TCP}
    {{- if and .root.Values.grpc (not .root.Values.serverless) }}
    - {name: grpc, containerPort: 8081, protocol: TCP}
    {{- end }}
  env:
    {{- include "ms.env" .root | nindent 4 }}
  {{- include "ms.probes" 8080 | nindent 2 }}
  {{- include "ms.preStop" .root | nindent 2 }}
  resources:
    {{- include "ms.resources" .root.Values.resources | nindent 4 }}
  securityContext:
    {{- include "ms.containerSecurity" . | nindent 4 }}
  volumeMounts:
    {{- include "ms.mounts" .root | nindent 4 }}
{{- end }}

{{/* A further node of the graph, of the same image. Takes: root, track, node, name, port (its name),
predictor (KServe: where the model is). */}}
{{- define "ms.node" -}}
- name: {{ .name }}
  image: {{ .track.image }}
  imagePullPolicy: IfNotPresent
  command: [python, -m, carrental_mlops.serving.nodes.server]
  args:
    - --repo=/app
    - --name={{ .node.name }}
    - --bundle=/app/bundle
    - --env={{ .root.Values.env }}
    - --set=serving.host=0.0.0.0
    - --set=serving.port={{ .node.port }}
    {{- with .predictor }}
    - --predictor_host
    - {{ . }}
    {{- end }}
  ports:
    - {name: {{ .port }}, containerPort: {{ .node.port }}, protocol: TCP}
  env:
    {{- include "ms.env" .root | nindent 4 }}
  {{- include "ms.probes" .node.port | nindent 2 }}
  {{- include "ms.preStop" .root | nindent 2 }}
  resources:
    {{- include "ms.resources" .node.resources | nindent 4 }}
  securityContext:
    {{- include "ms.containerSecurity" . | nindent 4 }}
  volumeMounts:
    {{- include "ms.mounts" .root | nindent 4 }}
    {{- if .node.disk }}
    - {name: disk-{{ .node.name }}, mountPath: /app/.crm/nodes/{{ .node.name }}}
    {{- end }}
{{- end }}

{{/* Sends the audit on; its last turn comes when the server has closed its file. Takes: root, track. */}}
{{- define "ms.ship" -}}
{{- $wait := add .root.Values.pre_stop_s .root.Values.drain_s 2 -}}
- name: audit-ship
  image: {{ .track.image }}
  imagePullPolicy: IfNotPresent
  command: [crm, audit, ship]
  args: [--repo=/app, --env={{ .root.Values.env }}]
  env:
    {{- include "ms.env" .root | nindent 4 }}
  lifecycle:
    preStop:
      exec:
        command:
          - python
          - -c
          - "import subprocess, time; time.sleep({{ $wait }}); subprocess.run(['crm', 'audit', 'ship', '--once', '--repo=/app', '--env={{ .root.Values.env }}'])"
  resources:
    requests: {cpu: 50m, memory: 128Mi}
    limits: {cpu: 500m, memory: 256Mi}
  securityContext:
    {{- include "ms.containerSecurity" . | nindent 4 }}
  volumeMounts:
    {{- include "ms.mounts" .root | nindent 4 }}
{{- end }}

{{- define "ms.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
- name: switch
  configMap:
    name: {{ .Values.service }}-switch
    optional: true
- name: state
  {{- if and .Values.audit.durable (not .Values.serverless) }}
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .Values.audit.storage_class }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ .Values.audit.volume_gb }}Gi
  {{- else }}
  emptyDir: {sizeLimit: {{ .Values.audit.volume_gb }}Gi}
  {{- end }}
{{ include "ms.secretVolume" . }}
{{- end }}

{{- define "ms.secretVolume" -}}
{{- if eq .Values.secrets.by "external_secrets" }}
- name: secrets
  secret:
    secretName: {{ .Values.service }}-secrets
    defaultMode: 0440
{{- else if eq .Values.secrets.by "csi" }}
- name: secrets
  csi:
    driver: secrets-store.csi.k8s.io
    readOnly: true
    volumeAttributes:
      secretProviderClass: {{ .Values.secrets.store }}
{{- end }}
{{- end }}

{{/* Disks of nodes in one pod. Takes: root, nodes. */}}
{{- define "ms.disks" -}}
{{- range .nodes }}
{{- if .disk }}
- name: disk-{{ .name }}
  persistentVolumeClaim: {claimName: {{ $.root.Values.service }}-{{ .name }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "ms.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "ms.gpuNodes" -}}
nodeSelector:
  nvidia.com/gpu.present: "true"
tolerations:
  - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
{{- end }}

{{/* All of a pod but its containers and volumes. Takes: root, track, part, gpu. */}}
{{- define "ms.pod" -}}
serviceAccountName: {{ .root.Values.service }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- if not .root.Values.serverless }}
terminationGracePeriodSeconds: {{ .root.Values.grace_s }}
{{- end }}
{{- with .root.Values.priority_class }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  {{- include "ms.podSecurity" .root | nindent 2 }}
topologySpreadConstraints:
  {{- $selector := include "ms.selector" . }}
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- end }}
{{- if .gpu }}
{{ include "ms.gpuNodes" .root }}
{{- end }}
{{- end }}
