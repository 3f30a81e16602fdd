{{- define "lta.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Prefix of the names of all objects. Names of Services begin with a letter and hold no dot; a release's name may
begin with a digit and hold dots. */ -}}
{{- define "lta.fullname" -}}
{{- $name := include "lta.name" . -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- $full = ternary $release (printf "%s-%s" $release $name) (contains $name $release) -}}
{{- if regexMatch "^[0-9]" $full }}{{ $full = printf "lta-%s" $full }}{{ end -}}
{{- end -}}
{{ $full | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* A map of strings (labels, annotations, a node selector) as YAML. The values file may hold numbers and booleans in
it. */ -}}
{{- define "lta.strings" -}}
{{- $strings := dict -}}
{{- range $name, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $strings $name (kindIs "string" $value | ternary $value (toJson $value)) -}}
{{- end -}}
{{- end -}}
{{ toYaml $strings }}
{{- end }}

{{- /* Seconds of a duration such as `1h30m`. */ -}}
{{- define "lta.seconds" -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+[smh]" . -1 -}}
{{- /* Without leading zeros, because Helm reads a number that begins with 0 as octal. */ -}}
{{- $sum = add $sum (mul (regexFind "[1-9][0-9]*" . | int64) (get (dict "s" 1 "m" 60 "h" 3600) (regexFind "[smh]" .))) -}}
{{- end -}}
{{ $sum }}
{{- end }}

{{- /* Labels that select pods; they never change. Arguments: root, component. */ -}}
{{- define "lta.selector" -}}
app.kubernetes.io/name: {{ include "lta.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end }}

{{- /* Labels of an object. Arguments: root, component; labels that are added, which never replace ours. */ -}}
{{- define "lta.labels" -}}
{{- $own := include "lta.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "learntoask" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{ include "lta.strings" (merge $own (.labels | default dict) .root.Values.commonLabels) }}
{{- end }}

{{- /* metadata of an object. Arguments: root, component, name; namespace ("" for none), labels, annotations. */ -}}
{{- define "lta.metadata" -}}
name: {{ .name | quote }}
{{- with .namespace }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- include "lta.labels" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- include "lta.strings" . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* "true" for a repository that names its registry: a dot, a colon or `localhost` before the first slash. */ -}}
{{- define "lta.namesRegistry" -}}
{{- if regexMatch "^([^/]*[.:][^/]*|localhost)/" . }}true{{ end -}}
{{- end }}

{{- /* Arguments: root, image. A repository that names a registry keeps it. */ -}}
{{- define "lta.image" -}}
{{- $registry := .root.Values.image.registry -}}
{{- $own := include "lta.namesRegistry" .image.repository -}}
{{- $name := ternary (printf "%s/%s" $registry .image.repository) .image.repository (and (ne $registry "") (not $own)) -}}
{{- if .image.digest -}}
{{ $name }}@{{ .image.digest }}
{{- else -}}
{{ $name }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* Namespaces that are prepared for runs and endpoints, as {"list": […]}. */ -}}
{{- define "lta.namespaces" -}}
{{ dict "list" (.Values.namespaces | default list | uniq | default (list .Release.Namespace)) | toJson }}
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

{{- /* Secret with the certificate of the release's endpoint. */ -}}
{{- define "lta.certificateSecret" -}}
{{ .Values.endpoint.certificate.secretName | default (printf "%s-tls" .Values.endpoint.name) }}
{{- end }}

{{- /* Secret with the certificate of its policy servers. */ -}}
{{- define "lta.serverCertificateSecret" -}}
{{ .Values.endpoint.serverCertificate.secretName | default (printf "%s-policy-tls" .Values.endpoint.name) }}
{{- end }}

{{- /* Secret with the certificate that the operator shows to pods; empty for plain text. */ -}}
{{- define "lta.progressSecret" -}}
{{- with .Values.progress.tls -}}
{{- if get (.issuerRef | default dict) "name" -}}
{{ .secret | default (printf "%s-progress-tls" (include "lta.fullname" $)) }}
{{- else -}}
{{ .secret }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* A Certificate of cert-manager. Arguments: root, component, namespace, name, secret, hosts, of (issuerRef, duration). */ -}}
{{- define "lta.certificate" }}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  {{- include "lta.metadata" (pick . "root" "component" "namespace" "name") | nindent 2 }}
spec:
  secretName: {{ .secret | quote }}
  issuerRef:
    {{- toYaml .of.issuerRef | nindent 4 }}
  dnsNames:
    {{- range .hosts }}
    - {{ . | quote }}
    {{- end }}
  {{- with .of.duration }}
  duration: {{ . | quote }}
  {{- end }}
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
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "lta.podSecurity" -}}
runAsNonRoot: true
{{- with int64 .Values.workloads.user }}
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
- {name: store, secret: {secretName: {{ . | quote }}, defaultMode: 288}}
{{- end }}
{{- with .Values.store.caConfigMap }}
- {name: authority, configMap: {name: {{ . | quote }}}}
{{- end }}
{{- end }}

{{- /* Rights to what the release watches: a ClusterRole, or a Role in each namespace. Arguments: root, component, name, rules, subject. */ -}}
{{- define "lta.watchedRights" }}
{{- $this := pick . "root" "component" "name" }}
{{- if ne .root.Values.scope "namespaces" }}
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
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ .prefix }}Role, name: {{ .name | quote }}}
subjects:
  - {{ toJson .subject }}
{{- end }}
