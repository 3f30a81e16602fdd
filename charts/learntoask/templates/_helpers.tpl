{{- define "lta.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "lta.fullname" -}}
{{- $name := include "lta.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- /* Labels that select pods; they never change. Arguments: root, component. */ -}}
{{- define "lta.selector" -}}
app.kubernetes.io/name: {{ include "lta.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "lta.labels" -}}
{{ include "lta.selector" . }}
app.kubernetes.io/part-of: learntoask
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* metadata of an object. Arguments: root, component, name; namespace ("" for none), annotations. */ -}}
{{- define "lta.metadata" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "lta.labels" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Arguments: root, image. A repository that names a registry (a dot or a colon before the first slash) keeps it. */ -}}
{{- define "lta.image" -}}
{{- $registry := .root.Values.image.registry -}}
{{- $own := regexMatch "^[^/]*[.:][^/]*/" .image.repository -}}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (and (ne $registry "") (not $own)) -}}
{{- if .image.digest -}}
{{ $name }}@{{ .image.digest }}
{{- else -}}
{{ $name }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* Namespaces that are prepared for runs and endpoints, as {"list": […]}. */ -}}
{{- define "lta.namespaces" -}}
{{ dict "list" (.Values.namespaces | default (list .Release.Namespace)) | toJson }}
{{- end }}

{{- define "lta.operatorAccount" -}}
{{ .Values.operator.serviceAccount.name | default (printf "%s-operator" (include "lta.fullname" .)) }}
{{- end }}

{{- /* Service account of the pods of runs and endpoints; empty if it may be missing in a namespace. */ -}}
{{- define "lta.workloadAccount" -}}
{{- with .Values.workloads.serviceAccount -}}
{{- if .name -}}
{{ .name }}
{{- else if and .create (eq $.Values.scope "namespaces") -}}
{{ include "lta.fullname" $ }}-workload
{{- end -}}
{{- end -}}
{{- end }}

{{- define "lta.storeUri" -}}
{{- if .Values.minio.enabled -}}
{{ .Values.store.uri | default (printf "s3://%s/lta" .Values.minio.bucket) }}
{{- else -}}
{{ .Values.store.uri }}
{{- end -}}
{{- end }}

{{- define "lta.storeEndpoint" -}}
{{- if .Values.minio.enabled -}}
http://{{ include "lta.fullname" . }}-minio.{{ .Release.Namespace }}.svc:9000
{{- else -}}
{{ .Values.store.endpoint }}
{{- end -}}
{{- end }}

{{- define "lta.storeSecret" -}}
{{- if .Values.minio.enabled -}}
{{ .Values.minio.existingSecret | default (printf "%s-store" (include "lta.fullname" .)) }}
{{- else -}}
{{ .Values.store.credentialsSecret }}
{{- end -}}
{{- end }}

{{- define "lta.storePort" -}}
{{- $endpoint := .Values.store.endpoint | default "https://s3.amazonaws.com" -}}
{{- $host := (urlParse $endpoint).host -}}
{{- if regexMatch ":[0-9]+$" $host -}}
{{ regexFind "[0-9]+$" $host }}
{{- else -}}
{{ ternary "443" "80" (hasPrefix "https://" $endpoint) }}
{{- end -}}
{{- end }}

{{- define "lta.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lta.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.workloads.user }}
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "lta.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Variables with which `lta` and our pods find the store; its keys are mounted. */ -}}
{{- define "lta.storeEnv" -}}
{{- with include "lta.storeUri" . }}
- {name: LTA_STORE, value: {{ . | quote }}}
{{- end }}
{{- with include "lta.storeEndpoint" . }}
- {name: LTA_STORE_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with .Values.store.region }}
- {name: LTA_STORE_REGION, value: {{ . | quote }}}
{{- end }}
{{- if include "lta.storeSecret" . }}
- {name: LTA_STORE_CREDENTIALS, value: /etc/learntoask-store}
{{- end }}
{{- if .Values.store.caConfigMap }}
- {name: LTA_STORE_CA, value: /etc/learntoask-authority/ca.crt}
{{- end }}
{{- end }}

{{- define "lta.storeMounts" }}
{{- if include "lta.storeSecret" . }}
- {name: store, mountPath: /etc/learntoask-store, readOnly: true}
{{- end }}
{{- if .Values.store.caConfigMap }}
- {name: authority, mountPath: /etc/learntoask-authority, readOnly: true}
{{- end }}
{{- end }}

{{- define "lta.storeVolumes" }}
{{- with include "lta.storeSecret" . }}
- {name: store, secret: {secretName: {{ . }}, defaultMode: 288}}
{{- end }}
{{- with .Values.store.caConfigMap }}
- {name: authority, configMap: {name: {{ . }}}}
{{- end }}
{{- end }}

{{- /* Rights to what the release watches: a ClusterRole, or a Role in each namespace. Arguments: root, component, name, rules, subject. */ -}}
{{- define "lta.watchedRights" }}
{{- $this := pick . "root" "component" "name" }}
{{- if eq .root.Values.scope "cluster" }}
{{- $name := printf "%s-%s" .root.Release.Namespace .name }}
{{- include "lta.boundRole" (merge (dict "prefix" "Cluster" "name" $name "rules" .rules "subject" .subject) $this) }}
{{- else }}
{{- range $namespace := (include "lta.namespaces" .root | fromJson).list }}
{{- include "lta.boundRole" (merge (dict "prefix" "" "namespace" $namespace "rules" $.rules "subject" $.subject) $this) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lta.boundRole" }}
{{- $of := omit . "prefix" "rules" "subject" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .prefix }}Role
metadata:
  {{- include "lta.metadata" $of | nindent 2 }}
rules:
  {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .prefix }}RoleBinding
metadata:
  {{- include "lta.metadata" $of | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ .prefix }}Role, name: {{ .name }}}
subjects:
  - {{ toJson .subject }}
{{- end }}
