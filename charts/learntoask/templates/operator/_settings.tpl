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
NAMESPACE_SELECTOR: {{ ternary .Values.namespaceSelector "" (eq .Values.scope "labels") | quote }}
POD_USER: {{ int64 .Values.workloads.user | quote }}
SERVICE_ACCOUNT: {{ include "lta.workloadAccount" . | quote }}
{{- if .Values.progress.enabled }}
PROGRESS_ADDRESS: {{ printf "%s-progress.%s.svc:%d" (include "lta.fullname" .) .Release.Namespace (int64 .Values.progress.port) | quote }}
PROGRESS_PORT: {{ int64 .Values.progress.port | quote }}
{{- if include "lta.progressSecret" . }}
PROGRESS_CERTIFICATE: /etc/learntoask-progress/tls.crt
PROGRESS_KEY: /etc/learntoask-progress/tls.key
PROGRESS_CA: {{ .Values.progress.tls.caConfigMap | quote }}
{{- end }}
{{- end }}
HEALTH_PORT: "8080"
METRICS_PORT: {{ int64 .Values.metrics.port | quote }}
{{- with .Values.metrics.tokenSecret }}
METRICS_TOKEN_FILE: /etc/learntoask-metrics/token
METRICS_TOKEN_SECRET: {{ . | quote }}
{{- end }}
{{- with .Values.tracing }}
{{- if .endpoint }}
TRACING_ENDPOINT: {{ .endpoint | quote }}
TRACING_PROTOCOL: {{ .protocol | quote }}
TRACING_RATIO: {{ .sampleRatio | quote }}
TRACING_HEADERS_SECRET: {{ .headersSecret | quote }}
{{- end }}
{{- end }}
LEASE_NAME: {{ printf "%s-operator" (include "lta.fullname" .) | quote }}
LEASE_NAMESPACE: {{ .Release.Namespace | quote }}
LEASE_TIME: {{ .Values.operator.leaseTime | quote }}
LEASE_RENEWAL: {{ .Values.operator.leaseRenewal | quote }}
GRACE: {{ .Values.operator.grace | quote }}
CONCURRENCY: {{ int64 .Values.operator.concurrency | quote }}
LOG_LEVEL: {{ .Values.operator.logLevel | quote }}
{{- end }}
