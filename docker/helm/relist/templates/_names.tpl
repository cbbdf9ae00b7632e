{{- define "relist.name" -}}
{{- ternary .Release.Name (printf "%s-relist" .Release.Name) (contains "relist" .Release.Name) | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "relist.selector" -}}
app.kubernetes.io/name: relist
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "relist.labels" -}}
{{ include "relist.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* An image by digest where there is one, else by tag. */ -}}
{{- define "relist.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end -}}

{{- /* Which one of the three sources of the artifact; anything but one stops the chart. */ -}}
{{- define "relist.artifactSource" -}}
{{- $a := .Values.artifact -}}
{{- $given := list -}}
{{- if $a.image.repository }}{{ $given = append $given "image" }}{{ end -}}
{{- if $a.volume.claimName }}{{ $given = append $given "volume" }}{{ end -}}
{{- if $a.fetch.image }}{{ $given = append $given "fetch" }}{{ end -}}
{{- if ne (len $given) 1 -}}
{{- fail (printf "artifact: give exactly one of image.repository, volume.claimName, fetch.image (given: %s)" (join ", " $given | default "none")) -}}
{{- end -}}
{{- first $given -}}
{{- end -}}

{{- /* The pod's security context without the keys that are null. */ -}}
{{- define "relist.podSecurity" -}}
{{- $context := dict -}}
{{- range $name, $value := .Values.podSecurityContext -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $context $name $value }}{{ end -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "relist.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* A number as people write it: Helm reads 1048576 as 1.048576e+06. */ -}}
{{- define "relist.plain" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}
