{{/* Name of the objects that all tiers share. */}}
{{- define "dimec.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) }}
{{- $name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The tiers that are switched on, by name, each with the defaults beneath it. */}}
{{- define "dimec.tiers" -}}
{{- $found := dict }}
{{- range $name, $own := .Values.tiers }}
{{- $tier := mergeOverwrite (deepCopy $.Values.defaults) (deepCopy (default dict $own)) }}
{{- if $tier.enabled }}
{{- if not (dig "requests" "cpu" "" $tier.resources) }}
{{- fail (printf "tiers.%s.resources.requests.cpu: expected a number of processors, got none; the server has a thread for each" $name) }}
{{- end }}
{{- $_ := set $found $name $tier }}
{{- end }}
{{- end }}
{{- if not $found }}{{ fail "expected at least one tier under `tiers` that is enabled, got none" }}{{ end }}
{{- toJson $found }}
{{- end }}

{{- define "dimec.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "dimec.labels" -}}
{{ include "dimec.selector" . }}
{{ include "dimec.common" .root }}
{{- end }}

{{- define "dimec.common" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "dimec.account" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "dimec.fullname" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "dimec.image" -}}
{{- $image := .Values.image }}
{{- $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "dimec.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What a pod's annotations say of the bundle: a new one is a new pod. */}}
{{- define "dimec.revision" -}}
{{- $bundle := .Values.bundle }}
{{- if eq $bundle.source "archive" }}{{ $bundle.archive.sha256 }}
{{- else }}{{ $bundle.revision | default (ternary $bundle.image.reference $bundle.claim.name (eq $bundle.source "image")) }}{{ end }}
{{- end }}

{{- define "dimec.volumes" -}}
- name: scratch
  emptyDir:
    sizeLimit: {{ .tier.scratch }}
{{- with .root.Values.bundle }}
- name: bundle
{{- if eq .source "claim" }}
  persistentVolumeClaim:
    claimName: {{ .claim.name }}
    readOnly: true
{{- else if eq .source "image" }}
  image:
    reference: {{ .image.reference | quote }}
    pullPolicy: {{ .image.pullPolicy }}
{{- else }}
  emptyDir:
    sizeLimit: {{ .archive.room }}
- name: fetch
  configMap:
    name: {{ include "dimec.fullname" $.root }}-fetch
{{- end }}
{{- end }}
{{- with .root.Values.token.secretName }}
- name: token
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .root.Values.tls.secretName }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* The part of the volume that holds the tiers' folders. */}}
{{- define "dimec.subpath" -}}
{{- with .Values.bundle }}
{{- if eq .source "claim" }}{{ .claim.subPath }}
{{- else if eq .source "image" }}{{ .image.subPath }}
{{- else }}{{ printf "bundle/%s" .archive.subPath | trimSuffix "/" }}{{ end }}
{{- end }}
{{- end }}

{{/* The port of a collector's address. */}}
{{- define "dimec.otel.port" -}}
{{- $url := urlParse . }}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}
