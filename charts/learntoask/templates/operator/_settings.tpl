{{- /* Names (after LTA_OPERATOR_) and values of the settings; see `python -m learntoask_operator --help`. */ -}}
{{- define "lta.operatorSettings" -}}
IMAGE: {{ include "lta.image" (dict "root" . "image" .Values.images.services) | quote }}
TRAINER_IMAGE: {{ include "lta.image" (dict "root" . "image" .Values.images.trainer) | quote }}
SERVER_IMAGE: {{ include "lta.image" (dict "root" . "image" .Values.images.policyServer) | quote }}
JUDGE_IMAGE: {{ include "lta.image" (dict "root" . "image" .Values.images.judge) | quote }}
IMAGE_PULL_POLICY: {{ .Values.image.pullPolicy | quote }}
STORE_URI: {{ include "lta.storeUri" . | quote }}
STORE_ENDPOINT: {{ include "lta.storeEndpoint" . | quote }}
STORE_REGION: {{ .Values.store.region | quote }}
STORE_CREDENTIALS: {{ include "lta.storeSecret" . | quote }}
STORE_CA: {{ .Values.store.caConfigMap | quote }}
NAMESPACES: {{ ternary (join "," (include "lta.namespaces" . | fromJson).list) "" (eq .Values.scope "namespaces") | quote }}
POD_USER: {{ int64 .Values.workloads.user | quote }}
SERVICE_ACCOUNT: {{ include "lta.workloadAccount" . | quote }}
{{- if .Values.progress.enabled }}
PROGRESS_ADDRESS: {{ printf "%s-progress.%s.svc:%d" (include "lta.fullname" .) .Release.Namespace (int64 .Values.progress.port) | quote }}
PROGRESS_PORT: {{ int64 .Values.progress.port | quote }}
{{- end }}
HEALTH_PORT: "8080"
METRICS_PORT: {{ int64 .Values.metrics.port | quote }}
{{- with .Values.metrics.tokenSecret }}
METRICS_TOKEN_FILE: /etc/learntoask-metrics/token
METRICS_TOKEN_SECRET: {{ . | quote }}
{{- end }}
LEASE_NAME: {{ printf "%s-operator" (include "lta.fullname" .) | quote }}
LEASE_NAMESPACE: {{ .Release.Namespace | quote }}
LEASE_TIME: {{ .Values.operator.leaseTime | quote }}
LEASE_RENEWAL: {{ .Values.operator.leaseRenewal | quote }}
GRACE: {{ .Values.operator.grace | quote }}
CONCURRENCY: {{ int64 .Values.operator.concurrency | quote }}
LOG_LEVEL: {{ .Values.operator.logLevel | quote }}
{{- end }}
