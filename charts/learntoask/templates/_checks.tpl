{{- /* What is wrong with the values together, a line each: what would otherwise be ignored, or be refused by the API server
or by a crash loop only. values.schema.json checks each value alone. */ -}}
{{- define "lta.problems" -}}
{{- include "lta.imageProblems" . }}
{{- include "lta.storeProblems" . }}
{{- include "lta.operatorProblems" . }}
{{- include "lta.endpointProblems" . }}
{{- include "lta.reviewProblems" . }}
{{- include "lta.tracingProblems" . }}
{{- include "lta.progressProblems" . }}
{{- end }}

{{- /* Without a registry, a container runtime would fetch images of these names from strangers on Docker Hub. */ -}}
{{- define "lta.imageProblems" -}}
{{- $images := dict "minio.image" .Values.minio.image -}}
{{- if not .Values.minio.enabled }}{{ $images = dict }}{{ end -}}
{{- range $name, $image := .Values.images }}{{ $_ := set $images (printf "images.%s" $name) $image }}{{ end -}}
{{- $nameless := list -}}
{{- range $name, $image := $images -}}
{{- if not (include "lta.namesRegistry" $image.repository) }}{{ $nameless = append $nameless (printf "%s.repository (%s)" $name $image.repository) }}{{ end -}}
{{- end -}}
{{- if and $nameless (not .Values.image.registry) }}
- image.registry is empty and no registry is named in {{ join ", " $nameless }}. Push the images to a registry of yours (docs/images.md) and set image.registry=registry.example/team. For images loaded into the nodes, set the registry of their names, such as docker.io or localhost.
{{- end }}
{{- end }}

{{- define "lta.storeProblems" -}}
{{- $store := .Values.store -}}
{{- $bucket := regexReplaceAll "^s3://([^/]*).*$" $store.uri "${1}" -}}
{{- if .Values.minio.enabled }}
{{- range $name := list "endpoint" "credentialsSecret" "caConfigMap" }}
{{- if get $store $name }}
- minio.enabled installs a store with an endpoint and keys of its own, and store.{{ $name }} ({{ get $store $name }}) would be ignored. Set minio.enabled=false, or leave store.{{ $name }} out{{ if eq $name "credentialsSecret" }} (minio.existingSecret names a Secret with MinIO's keys){{ end }}.
{{- end }}
{{- end }}
{{- if and $store.uri (ne $bucket .Values.minio.bucket) }}
- minio.enabled creates the bucket {{ .Values.minio.bucket }}, but store.uri ({{ $store.uri }}) names another. Set minio.enabled=false, minio.bucket={{ $bucket }}, or leave store.uri out.
{{- end }}
{{- else if not $store.uri }}
{{- range $name := list "endpoint" "region" }}
{{- if get $store $name }}
- store.{{ $name }} ({{ get $store $name }}) belongs to store.uri, which is empty, and would be ignored. Set store.uri=s3://bucket/prefix.
{{- end }}
{{- end }}
{{- if .Values.cleanup.schedule }}
- cleanup.schedule needs a store to make room in. Set store.uri or minio.enabled.
{{- end }}
{{- end }}
{{- end }}

{{- define "lta.operatorProblems" -}}
{{- $byLabel := eq .Values.scope "labels" -}}
{{- if and $byLabel (not .Values.namespaceSelector) }}
- scope=labels needs namespaceSelector, such as namespaceSelector=learntoask.io/runs=enabled.
{{- end }}
{{- if and (not $byLabel) .Values.namespaceSelector }}
- namespaceSelector ({{ .Values.namespaceSelector }}) would be ignored. Set scope=labels, or leave it out.
{{- end }}
{{- with .Values.operator }}
{{- $lease := include "lta.seconds" .leaseTime | int64 -}}
{{- $renewal := include "lta.seconds" .leaseRenewal | int64 -}}
{{- if lt $renewal 1 }}
- operator.leaseRenewal ({{ .leaseRenewal }}) must be at least 1s.
{{- end }}
{{- if gt (mul 2 $renewal) $lease }}
- operator.leaseRenewal ({{ .leaseRenewal }}) must be at most half of operator.leaseTime ({{ .leaseTime }}), or one lost renewal loses the Lease.
{{- end }}
{{- if lt (include "lta.seconds" .grace | int64) 1 }}
- operator.grace ({{ .grace }}) must be at least 1s.
{{- end }}
{{- end }}
{{- $metrics := int64 .Values.metrics.port -}}
{{- $progress := int64 .Values.progress.port -}}
{{- if or (eq $metrics 8080) (and .Values.progress.enabled (or (eq $progress 8080) (eq $progress $metrics))) }}
- metrics.port ({{ $metrics }}) and progress.port ({{ $progress }}) must differ from each other and from 8080, the port of the operator's probes.
{{- end }}
{{- with .Values.workloads.serviceAccount }}
{{- if and .annotations (not (and .create (include "lta.workloadAccount" $))) }}
- workloads.serviceAccount.annotations belong to an account that the chart does not create. Set workloads.serviceAccount.create=true and workloads.serviceAccount.name, or annotate your own account.
{{- end }}
{{- end }}
{{- end }}

{{- define "lta.reviewProblems" -}}
{{- with .Values.review }}
{{- if and (or .route.enabled .ingress.enabled) (not .run) }}
- review.route and review.ingress need review.run, the run whose page is reached.
{{- end }}
{{- if and .route.enabled (not .route.parentRefs) }}
- review.route.enabled needs review.route.parentRefs, the Gateways that the route attaches to.
{{- end }}
{{- if and .ingress.enabled (not .ingress.host) }}
- review.ingress.enabled needs review.ingress.host: without it the Ingress would take the requests of every host.
{{- end }}
{{- end }}
{{- end }}

{{- define "lta.endpointProblems" -}}
{{- with .Values.endpoint }}
{{- $namespace := .namespace | default $.Release.Namespace -}}
{{- if and .enabled (not (get .spec "policy")) }}
- endpoint.enabled needs endpoint.spec with at least the policy to serve, such as endpoint.spec.policy.run=clinic.
{{- end }}
{{- if and .route.enabled (not .route.parentRefs) }}
- endpoint.route.enabled needs endpoint.route.parentRefs, the Gateways that the route attaches to.
{{- end }}
{{- if and .ingress.enabled (not .ingress.host) }}
- endpoint.ingress.enabled needs endpoint.ingress.host: without it the Ingress would take the calls of every host.
{{- end }}
{{- $secret := include "lta.certificateSecret" $ -}}
{{- if and .certificate.enabled (not .certificate.issuerRef.name) }}
- endpoint.certificate.enabled needs endpoint.certificate.issuerRef.name, an issuer of cert-manager.
{{- end }}
{{- if and .certificate.enabled .enabled (ne $secret (dig "gateway" "access" "tlsSecret" "" .spec)) }}
- endpoint.certificate writes the Secret {{ $secret }}, which the endpoint does not use. Set endpoint.spec.gateway.access.tlsSecret={{ $secret }}.
{{- end }}
{{- $servers := include "lta.serverCertificateSecret" $ -}}
{{- if and .serverCertificate.enabled (not .serverCertificate.issuerRef.name) }}
- endpoint.serverCertificate.enabled needs endpoint.serverCertificate.issuerRef.name, an issuer of cert-manager.
{{- end }}
{{- if and .serverCertificate.enabled .enabled (ne $servers (dig "servers" "tls" "secret" "" .spec)) }}
- endpoint.serverCertificate writes the Secret {{ $servers }}, which the endpoint does not use. Set endpoint.spec.servers.tls.secret={{ $servers }}.
{{- end }}
{{- if and .enabled (eq $.Values.scope "namespaces") (not (has $namespace (include "lta.namespaces" $ | fromJson).list)) }}
- endpoint.namespace ({{ $namespace }}) is not among `namespaces`, the only ones that the operator watches with scope=namespaces. Add it there, or set endpoint.namespace to one of them.
{{- end }}
{{- end }}
{{- end }}

{{- define "lta.tracingProblems" -}}
{{- with .Values.tracing }}
{{- if and .headersSecret (not .endpoint) }}
- tracing.headersSecret ({{ .headersSecret }}) belongs to tracing.endpoint, which is empty, and would be ignored. Set tracing.endpoint=http://collector.namespace.svc:4317.
{{- end }}
{{- end }}
{{- end }}

{{- define "lta.progressProblems" -}}
{{- $secret := include "lta.progressSecret" . -}}
{{- with .Values.progress }}
{{- if and $secret (not .tls.caConfigMap) }}
- progress.tls needs progress.tls.caConfigMap: without the authority pods would refuse the certificate in {{ $secret }}.
{{- end }}
{{- if and .tls.caConfigMap (not $secret) }}
- progress.tls.caConfigMap ({{ .tls.caConfigMap }}) belongs to a certificate, which is missing. Set progress.tls.secret, or progress.tls.issuerRef.name for one of cert-manager.
{{- end }}
{{- if and $secret (not .enabled) }}
- progress.tls ({{ $secret }}) would be ignored, since progress.enabled is false. Leave one of them out.
{{- end }}
{{- end }}
{{- end }}
