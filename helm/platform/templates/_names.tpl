{{- define "platform.labels" -}}
app.kubernetes.io/name: platform
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "platform.pods" -}}
{{- if .Values.bootstrap.image }}
{{- if not (regexMatch "@sha256:[0-9a-f]{64}$" .Values.bootstrap.image) }}{{ fail "bootstrap.image: name it by digest" }}{{ end }}
{{- end }}
{{- end }}

{{/* The receivers of one team: pager, chat, mail; what it has not falls to the next that it has. */}}
{{- define "platform.receivers" -}}
{{- $r := .receiver }}
{{- if not (or $r.chat $r.mail) }}{{ fail (printf "alertmanager: team %s has neither chat nor mail" .team) }}{{ end }}
{{- $summary := "{{ .CommonAnnotations.summary }}" }}
{{- $mail := dict }}{{- $chat := dict }}
{{- if $r.mail }}{{ $mail = dict "email_configs" (list (dict "to" $r.mail "send_resolved" true)) }}{{ end }}
{{- if $r.chat }}
{{- $text := "{{ .CommonAnnotations.runbook_url }} {{ .CommonAnnotations.dashboard_url }}" }}
{{- $slack := dict "api_url_file" "/etc/alertmanager/secrets/alertmanager-keys/chat-url" "channel" $r.chat }}
{{- $chat = dict "slack_configs" (list (merge $slack (dict "send_resolved" true "title" $summary "text" $text))) }}
{{- end }}
{{- $talk := or $chat $mail }}
{{- $pager := $talk }}
{{- $key := printf "/etc/alertmanager/secrets/alertmanager-keys/%s-pager" .team }}
{{- if eq (default "" $r.pager) "pagerduty" }}
{{- $pager = dict "pagerduty_configs" (list (dict "routing_key_file" $key "description" $summary)) }}
{{- else if eq (default "" $r.pager) "opsgenie" }}
{{- $pager = dict "opsgenie_configs" (list (dict "api_key_file" $key "message" $summary)) }}
{{- else if $r.pager }}{{ fail (printf "alertmanager: pager %s of team %s: pagerduty or opsgenie" $r.pager .team) }}
{{- end }}
{{- toYaml (list (merge (dict "name" (printf "%s-pager" .team)) $pager) (merge (dict "name" (printf "%s-chat" .team)) $talk) (merge (dict "name" (printf "%s-mail" .team)) (or $mail $chat))) }}
{{- end }}

{{- define "platform.by-severity" -}}
- matchers: ['severity="critical"']
  receiver: {{ . }}-pager
  repeat_interval: 1h
- matchers: ['severity="warning"']
  receiver: {{ . }}-chat
{{- end }}

{{- define "platform.alertmanager" -}}
global:
  smtp_smarthost: {{ .Values.alertmanager.smtp }}
  smtp_from: {{ .Values.alertmanager.sender }}
  smtp_require_tls: true
route:
  receiver: fallback-mail
  group_by: [service, env, alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
    {{- range $team, $receiver := .Values.alertmanager.teams }}
    - matchers: ['team="{{ $team }}"']
      receiver: {{ $team }}-mail
      routes:
        {{- include "platform.by-severity" $team | nindent 8 }}
    {{- end }}
    {{- include "platform.by-severity" "fallback" | nindent 4 }}
inhibit_rules:
  - {source_matchers: [alertname="ServiceDown"], target_matchers: [alertname!="ServiceDown"], equal: [service, env]}
  - {source_matchers: [alertname="ErrorsFast"], target_matchers: [alertname="ErrorsSlow"], equal: [service, env]}
  - {source_matchers: [alertname="LatencyFast"], target_matchers: [alertname="LatencySlow"], equal: [service, env]}
receivers:
  {{- range $team, $receiver := .Values.alertmanager.teams }}
  {{- include "platform.receivers" (dict "team" $team "receiver" $receiver) | nindent 2 }}
  {{- end }}
  {{- include "platform.receivers" (dict "team" "fallback" "receiver" .Values.alertmanager.fallback) | nindent 2 }}
{{- end }}

{{- define "platform.to-opensearch" -}}
[FILTER]
    Name            lua
    Match           *
    script          index.lua
    call            index

[OUTPUT]
    Name                opensearch
    Match               *
    {{- $at := urlParse .Values.openSearch.url }}
    {{- $host := splitList ":" $at.host }}
    Host                {{ first $host }}
    Port                {{ if gt (len $host) 1 }}{{ last $host }}{{ else }}443{{ end }}
    HTTP_User           ${OPENSEARCH_USERNAME}
    HTTP_Passwd         ${OPENSEARCH_PASSWORD}
    tls                 {{ if eq $at.scheme "https" }}On{{ else }}{{ fail "openSearch.url: https is needed" }}{{ end }}
    tls.verify          On
    Logstash_Format     On
    Logstash_Prefix_Key index
    Logstash_Prefix     logs-personal
    Suppress_Type_Name  On
    Replace_Dots        On
    # What is sent again after a timeout has the same id: it is kept once.
    Generate_ID         On
    Retry_Limit         no_limits
    storage.total_limit_size 2G
{{- end }}
