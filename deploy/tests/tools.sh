#!/usr/bin/env bash
# tools.sh NAME...: makes tools for the tests of deploy/ that no Debian package has: helm, kubeconform, compose, prometheus, kube-apiserver
# (built with Go from their published modules) and python (a venv with schemas). Each is made once, into the cache.
# tools.sh --cached NAME: succeeds if it is there already.
# tools.sh --path NAME: prints the folder it is in, or would be.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/gocdnext-flow/tools"

helm=3.22.0
kubeconform=0.8.0
prometheus=3.16.0
compose=2.16.2
kubernetes=1.37.2
# whose custom resources the chart has
prometheus_operator=0.92.1
keda=2.21.0

say() { printf 'tools: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

folder() {
  case "$1" in
    helm) echo "$cache/helm-$helm" ;;
    kubeconform) echo "$cache/kubeconform-$kubeconform" ;;
    compose) echo "$cache/compose-$compose" ;;
    prometheus) echo "$cache/prometheus-$prometheus" ;;
    kube-apiserver) echo "$cache/kube-apiserver-$kubernetes" ;;
    # other versions, packages or schemas make another folder
    python) echo "$cache/python-$prometheus_operator-$keda-$(cat "$here/requirements.txt" "$here/schemas.py" | sha256sum | cut -c1-12)" ;;
    *) fail "there is no tool $1" ;;
  esac
}

# module PATH@VERSION: the folder with its source
module() { go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p'; }

go_install() { GOBIN="$1" nice -n 15 go install -trimpath "${@:2}"; }

make_helm() { go_install "$1" "helm.sh/helm/v3/cmd/helm@v$helm"; }

make_kubeconform() { go_install "$1" "github.com/yannh/kubeconform/cmd/kubeconform@v$kubeconform"; }

# the reader of compose files, without the rest of Docker
make_compose() {
  go_install "$1" "github.com/compose-spec/compose-go/v2/cmd@v$compose"
  mv "$1/cmd" "$1/compose"
}

# without its web pages, and with the discoveries that we use
make_prometheus() {
  local module="github.com/prometheus/prometheus/cmd" version
  version="v0.$(printf '%d%02d.%d' "${prometheus%%.*}" "$(cut -d. -f2 <<<"$prometheus")" "${prometheus##*.}")"
  go_install "$1" -tags remove_all_sd,enable_dns_sd,enable_kubernetes_sd "$module/prometheus@$version" "$module/promtool@$version"
}

# Its own modules are replaced by folders of its repository, so `go install` refuses it: a module around it replaces
# them by what is published.
make_kube-apiserver() {
  local source
  source="$(module "k8s.io/kubernetes@v$kubernetes")"
  (
    mkdir "$1/module" && cd "$1/module"
    export GOFLAGS="${GOFLAGS:-} -mod=mod"
    cp "$source/go.sum" . && chmod u+w go.sum
    {
      printf 'module apiserver\n\ngo %s\n\n' "$(sed -n 's/^go //p' "$source/go.mod")"
      printf 'require k8s.io/kubernetes v%s\n\n' "$kubernetes"
      sed -n "s/^\t\(k8s\.io\/[^ ]*\) v0\.0\.0\( .*\)\?$/replace \1 => \1 v0.${kubernetes#*.}/p" "$source/go.mod"
    } >go.mod
    printf 'package main\n\nimport _ "k8s.io/kubernetes/cmd/kube-apiserver/app"\n\nfunc main() {}\n' >main.go
    nice -n 15 go build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$kubernetes" -o "$1/" k8s.io/kubernetes/cmd/kube-apiserver
  )
  rm -r "$1/module"
}

# bin/python3, the definitions/ of custom resources, and schemas/; pinned, since schemas decide what is valid
make_python() {
  python3 -m venv "$1"
  "$1/bin/python3" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  local operator agents
  operator="$(module "github.com/prometheus-operator/prometheus-operator@v$prometheus_operator")"
  agents="$(module "github.com/kedacore/keda/v2@v$keda")"
  mkdir "$1/definitions"
  cp "$operator"/example/prometheus-operator-crd/*_{servicemonitors,prometheusrules}.yaml "$agents/config/crd/bases/keda.sh_scaledobjects.yaml" "$1/definitions"
  "$1/bin/python3" "$here/schemas.py" "$1/schemas" "$1/definitions"
}

# A build that is cut short leaves nothing that looks whole.
make() {
  local name="$1" place building
  place="$(folder "$name")"
  [[ -d "$place" ]] && return
  command -v go >/dev/null || fail "go is missing: install Go 1.26 or newer to make $name"
  [[ "$name" != python ]] || python3 -c 'import venv, ensurepip' 2>/dev/null || fail "python3 with venv is missing (Debian: python3-venv)"
  say "making $name in $place (once)"
  mkdir -p "$cache"
  building="$place.building"
  rm -rf "$building" && mkdir "$building"
  "make_$name" "$building" >&2
  mv "$building" "$place"
}

case "${1:-}" in
  --cached) [[ -d "$(folder "$2")" ]] ;;
  --path) folder "$2" ;;
  *) for name in "$@"; do make "$name"; done ;;
esac
