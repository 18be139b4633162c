{{/* The first part of all names. Names of Services are the longest that Kubernetes allows 63 characters for. */}}
{{- define "vm.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 30 | trimSuffix "-" }}
{{- end }}

{{- define "vm.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 30 | trimSuffix "-" }}
{{- else if contains (include "vm.name" .) .Release.Name }}
{{- .Release.Name | trunc 30 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "vm.name" .) | trunc 30 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/*
What selects a component's pods. It can never change for a Deployment or StatefulSet that exists, so it is the least that
does. Takes root and component, and shard where there is one.
*/}}
{{- define "vm.selector" -}}
app.kubernetes.io/name: {{ include "vm.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .shard }}
shard: {{ . }}
{{- end }}
{{- end }}

{{/* Labels of an object. */}}
{{- define "vm.labels" -}}
{{- $labels := include "vm.selector" . | fromYaml }}
{{- $_ := set $labels "app.kubernetes.io/part-of" "validator-monitor" }}
{{- $_ := set $labels "app.kubernetes.io/version" .root.Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- toYaml (merge $labels .root.Values.commonLabels (default (dict) .extraLabels)) }}
{{- end }}

{{/* Name, namespace and labels of an object of a component. Takes name besides. */}}
{{- define "vm.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "vm.labels" . | nindent 2 }}
{{- end }}

{{/*
Labels and annotations of a pod. Takes values, the component's, and annotations of the chart's own. The chart's own labels
cannot be overridden, since they are what selects the pod.
*/}}
{{- define "vm.podMetadata" -}}
labels:
  {{- toYaml (merge (include "vm.selector" . | fromYaml) .values.podLabels .root.Values.commonLabels) | nindent 2 }}
{{- with merge (dict) (default (dict) .annotations) .values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where a pod runs and as whom. Takes user, the number of user and group in the image. */}}
{{- define "vm.podSpec" -}}
serviceAccountName: {{ include "vm.fullname" .root }}-{{ .component }}
automountServiceAccountToken: false
# Variables for each Service of the namespace: nobody reads them.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Replicas on different nodes and in different zones where there are any; never a reason not to run. */}}
{{- define "vm.spread" -}}
affinity:
{{- if .values.affinity }}
  {{- toYaml .values.affinity | nindent 2 }}
{{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "vm.selector" . | nindent 14 }}
{{- end }}
topologySpreadConstraints:
{{- if .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "vm.selector" $ | nindent 8 }}
    # The pods of one version by themselves: those that are about to go do not count.
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end }}

{{- define "vm.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* image and imagePullPolicy of one of ours. Takes root and image. */}}
{{- define "vm.image" -}}
{{- include "vm.imageOf" (dict "root" .root "image" .image "registry" .root.Values.image.registry "repository" .image.repository) }}
{{- end }}

{{/* The same of somebody else's. On a mirror, as on Docker Hub, images without an owner are those of "library". */}}
{{- define "vm.imageOfOthers" -}}
{{- $repository := .image.repository }}
{{- if and .root.Values.image.mirror (not (contains "/" $repository)) }}
{{- $repository = printf "library/%s" $repository }}
{{- end }}
{{- include "vm.imageOf" (dict "root" .root "image" .image "registry" .root.Values.image.mirror "repository" $repository) }}
{{- end }}

{{- define "vm.imageOf" -}}
{{- $repository := .repository }}
{{- with .registry }}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}
{{- end -}}
image: {{ ternary (printf "%s@%s" $repository .image.digest) (printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag)) (ne .image.digest "") | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end }}

{{/* Go collects garbage harder as its memory comes near the container's limit, instead of being killed there. */}}
{{- define "vm.goMemoryLimit" -}}
- name: GOMEMLIMIT
  valueFrom:
    resourceFieldRef:
      resource: limits.memory
      # What the API server fills in; left out, whoever compares finds a difference.
      divisor: "0"
{{- end }}

{{- define "vm.probe" -}}
httpGet: {path: {{ .path }}, port: {{ .port }}}
{{- end }}

{{/* A volume with keys of the Secret, each a file that the pod's group may read. Takes root and keys. */}}
{{- define "vm.secretVolume" -}}
- name: secrets
  secret:
    secretName: {{ .root.Values.secrets.existingSecret }}
    defaultMode: 0440
    items:
      {{- range .keys }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}

{{/* "true" when there is an authority of the user's own. Takes an entry of authorities. */}}
{{- define "vm.hasAuthority" -}}
{{- if or .configMap .secret }}true{{ end }}
{{- end }}

{{/* Its certificates as a volume, and where they are mounted. */}}
{{- define "vm.authorityVolume" -}}
- name: authority
{{- if .secret }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0444
{{- else }}
  configMap:
    name: {{ .configMap }}
{{- end }}
    items:
      - {key: ca.crt, path: ca.crt}
{{- end }}

{{- define "vm.authorityMount" -}}
- {name: authority, mountPath: /etc/validator-monitor-authority, readOnly: true}
{{- end }}

{{/* A volume for data: a claim, or with storage.enabled false what is gone with the pod. Takes values and claim. */}}
{{- define "vm.dataVolume" -}}
- name: data
{{- if .values.storage.enabled }}
  persistentVolumeClaim:
    claimName: {{ default .claim .values.storage.existingClaim }}
{{- else }}
  emptyDir:
    sizeLimit: {{ .values.storage.size }}
{{- end }}
{{- end }}

{{/*
A claim is an object of its own, not a template of a StatefulSet: those can never be changed, not even made larger. It
outlives helm uninstall; what is in it cannot be had again.
*/}}
{{- define "vm.claim" -}}
{{- if and .values.storage.enabled (not .values.storage.existingClaim) -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "vm.metadata" . | nindent 2 }}
  annotations:
    helm.sh/resource-policy: keep
spec:
  accessModes: [ReadWriteOnce]
  {{- with .values.storage.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .values.storage.size }}
{{- end }}
{{- end }}

{{- define "vm.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "vm.metadata" (merge (dict "name" (printf "%s-%s" (include "vm.fullname" .root) .component)) .) | nindent 2 }}
automountServiceAccountToken: false
{{- end }}

{{/* At most one of a component's pods is taken away on purpose; those that do not work may always be. */}}
{{- define "vm.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "vm.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "vm.selector" . | nindent 6 }}
{{- end }}

{{/* The secret keys that this release needs, as JSON. */}}
{{- define "vm.secretKeys" -}}
{{- $keys := list }}
{{- if .Values.rollup.enabled }}{{ $keys = append $keys "db-url" }}{{ end }}
{{- if .Values.postgres.enabled }}{{ $keys = append $keys "postgres-password" }}{{ end }}
{{- if or .Values.postgres.enabled (eq (include "vm.grafanaReads" .) "true") }}{{ $keys = append $keys "rollup-reader-password" }}{{ end }}
{{- if and .Values.grafana.enabled (not .Values.grafana.anonymous) }}{{ $keys = append $keys "grafana-admin-password" }}{{ end }}
{{- if .Values.exporter.beacon.headersFromSecret }}{{ $keys = append $keys "beacon-headers" }}{{ end }}
{{- if .Values.alertmanager.enabled }}{{ $keys = concat $keys .Values.alertmanager.secretKeys }}{{ end }}
{{- toJson $keys }}
{{- end }}

{{/* "true" when the bundled Grafana has the receiver's database as a data source. */}}
{{- define "vm.grafanaReads" -}}
{{- if and .Values.grafana.enabled (or .Values.postgres.enabled .Values.grafana.database.address) }}true{{ end }}
{{- end }}

{{/* URLs of the beacon nodes, as JSON. */}}
{{- define "vm.beaconURLs" -}}
{{- $urls := .Values.exporter.beacon.urls }}
{{- if .Values.chainsim.enabled }}
{{- $urls = append $urls (printf "http://%s-chainsim:5052" (include "vm.fullname" .)) }}
{{- end }}
{{- toJson $urls }}
{{- end }}

{{/*
The exporters, as JSON: one, or one for each shard. Each has name, shard (empty for the one), validators, files and
existingConfigMap.
*/}}
{{- define "vm.exporters" -}}
{{- $base := printf "%s-exporter" (include "vm.fullname" .) }}
{{- $exporters := list }}
{{- if .Values.exporter.shards }}
{{- range .Values.exporter.shards }}
{{- $exporters = append $exporters (merge (dict "name" (printf "%s-%s" $base .name) "shard" .name) (omit . "name")) }}
{{- end }}
{{- else }}
{{- $exporters = append $exporters (merge (dict "name" $base "shard" "") .Values.exporter.watch) }}
{{- end }}
{{- toJson $exporters }}
{{- end }}

{{/* How many finished windows the exporters show. */}}
{{- define "vm.completedWindows" -}}
{{- if kindIs "invalid" .Values.exporter.completedWindows }}
{{- ternary 2 0 .Values.rollup.enabled }}
{{- else }}
{{- .Values.exporter.completedWindows | int }}
{{- end }}
{{- end }}

{{/* The folder with the mixin's rules and dashboards. */}}
{{- define "vm.mixin" -}}
files/mixin/{{ .Values.mixin.preset }}
{{- end }}

{{/* The port of a URL. */}}
{{- define "vm.portOf" -}}
{{- $url := urlParse . }}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}

{{/* The Pods of a component, as a peer of a NetworkPolicy. */}}
{{- define "vm.peer" -}}
- podSelector:
    matchLabels:
      {{- include "vm.selector" . | nindent 6 }}
{{- end }}

{{/* The rule of egress for looking names up. */}}
{{- define "vm.dnsRule" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns.peers | nindent 4 }}
  ports:
    {{- range .Values.networkPolicy.dns.ports }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{/*
A file's text in a block scalar: the same bytes when it is read. Takes text, which ends in one newline, and indent. Empty lines
stay empty.
*/}}
{{- define "vm.text" -}}
{{- regexReplaceAll "(?m)^ +$" (.text | trimSuffix "\n" | indent .indent) "" | printf "\n%s" }}
{{- end }}
