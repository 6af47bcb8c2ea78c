#!/usr/bin/env bash
# A Kubernetes control plane and Jaeger for tests, from package registries alone: etcd from Debian's archive, the rest built from Go
# modules, custom resource definitions out of the same modules. What is there already is left; about half an hour cold.
# Usage: tests/control_plane/build.sh [FOLDER]   FOLDER: $CRM_CONTROL_PLANE or ~/.cache/carrental-mlops/control-plane
# Needs go 1.23 or later (the modules name the toolchain), and apt-get with dpkg-deb for etcd where none is on PATH.
set -euo pipefail

KUBERNETES=1.32.13 # the staging modules have the same minor and patch at v0
KWOK=0.7.0
OUT=${1:-${CRM_CONTROL_PLANE:-$HOME/.cache/carrental-mlops/control-plane}}
mkdir -p "$OUT/bin" "$OUT/crds" "$OUT/src"
OUT=$(cd "$OUT" && pwd)
export GOFLAGS="${GOFLAGS:--p=1} -mod=mod" CGO_ENABLED=0
missing=0

say() { echo "control plane: $*" >&2; }
lacks() { say "LEFT OUT $*"; missing=1; }

etcd_binary() {
  test -x "$OUT/bin/etcd" && return
  if command -v etcd >/dev/null; then ln -sf "$(command -v etcd)" "$OUT/bin/etcd" && return; fi
  local deb="$OUT/src/deb"
  rm -rf "$deb" && mkdir -p "$deb"
  (cd "$deb" && apt-get download --quiet etcd-server >/dev/null 2>&1) || return 1
  dpkg-deb -x "$deb"/etcd-server_*.deb "$deb/root" && install -m 755 "$deb/root/usr/bin/etcd" "$OUT/bin/etcd"
  rm -rf "$deb"
}

# newest NAME MINOR PATCH: the newest version of a staging module up to PATCH that the module proxy has; not every patch of
# Kubernetes is there of each.
newest() {
  local patch
  for ((patch = $3; patch >= 0; patch--)); do
    if GOFLAGS='' go mod download "$1@v0.$2.$patch" 2>/dev/null; then echo "v0.$2.$patch" && return; fi
  done
  return 1
}

# go_module FOLDER MODULE VERSION: a main module that requires one, with what that one replaces by folders of its own
# replaced by their published versions (Kubernetes' staging modules).
go_module() {
  local folder=$1 module=$2 version=$3 gomod replaced minor
  test -f "$folder/go.mod" && return
  mkdir -p "$folder"
  gomod=$(cd "$folder" && GOFLAGS='' go mod download -json "$module@v$version" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
  test -n "$gomod" || return 1
  minor=${version#*.}
  {
    printf 'module controlplane\n\n%s\n\n' "$(grep -m1 '^go ' "$gomod")"
    grep '^godebug ' "$gomod" || true
    printf '\nrequire %s v%s\n\nreplace (\n' "$module" "$version"
    sed -n 's#^\t*\(k8s.io/[a-z-]*\) => ./staging/.*#\1#p' "$gomod" | while read -r replaced; do
      printf '\t%s => %s %s\n' "$replaced" "$replaced" "$(newest "$replaced" "${minor%.*}" "${version##*.}" || echo "v0.$minor")"
    done
    printf ')\n'
  } >"$folder/.go.mod"
  mv "$folder/.go.mod" "$folder/go.mod"
}

# binary NAME MODULE VERSION PACKAGE
binary() {
  local name=$1 module=$2 version=$3 package=$4 folder="$OUT/src/${2//\//_}@$3" began=$SECONDS
  test -x "$OUT/bin/$name" && return
  go_module "$folder" "$module" "$version" || return 1
  say "building $name $version"
  (cd "$folder" && nice -n 10 go build -trimpath -o "$OUT/bin/.$name" \
    -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$version -X $module/pkg/consts.Version=v$version" \
    "$package") || return 1
  mv "$OUT/bin/.$name" "$OUT/bin/$name"
  echo "$name $version $((SECONDS - began)) s" >>"$OUT/built.txt"
  say "built $name in $((SECONDS - began)) s"
}

# program NAME MODULE VERSION PACKAGE: a module that replaces others, which `go install` refuses: built as the main module
program() {
  local name=$1 module=$2 version=$3 package=$4 folder="$OUT/src/${2//\//_}@$3" source began=$SECONDS
  test -x "$OUT/bin/$name" && return
  source=$(cd "$OUT" && GOFLAGS='' go mod download -json "$module@v$version" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
  test -n "$source" || return 1
  rm -rf "$folder" && cp -r "$source" "$folder" && chmod -R u+w "$folder"
  say "building $name $version"
  (cd "$folder" && nice -n 10 go build -trimpath -o "$OUT/bin/.$name" -ldflags "-s -w" "$package") || return 1
  mv "$OUT/bin/.$name" "$OUT/bin/$name" && rm -rf "$folder"
  say "built $name in $((SECONDS - began)) s"
}

# crds NAME MODULE VERSION PATH...: files of a module's source, into crds/NAME/
crds() {
  local name=$1 module=$2 version=$3 source
  shift 3
  test -d "$OUT/crds/$name" && return
  source=$(cd "$OUT" && GOFLAGS='' go mod download -json "$module@$version" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
  test -n "$source" || return 1
  rm -rf "$OUT/crds/.$name" && mkdir -p "$OUT/crds/.$name"
  for path in "$@"; do install -m 644 -D -t "$OUT/crds/.$name" "$source"/$path || return 1; done
  mv "$OUT/crds/.$name" "$OUT/crds/$name"
}

etcd_binary || lacks "etcd: no binary on PATH and no Debian archive (apt-get download etcd-server)"
if ! command -v go >/dev/null; then
  lacks "everything else: no Go toolchain on PATH"
else
  crds prometheus-operator github.com/prometheus-operator/prometheus-operator v0.80.1 \
    'example/prometheus-operator-crd/*.yaml' || lacks "the Prometheus operator's definitions"
  crds gateway-api sigs.k8s.io/gateway-api v1.4.0 'config/crd/standard/*.yaml' || lacks "the Gateway API's definitions"
  crds keda github.com/kedacore/keda/v2 v2.18.1 'config/crd/bases/*.yaml' || lacks "KEDA's definitions"
  crds external-secrets github.com/external-secrets/external-secrets v0.20.4 \
    'config/crds/bases/external-secrets.io_*.yaml' || lacks "External Secrets' definitions"
  crds secrets-store sigs.k8s.io/secrets-store-csi-driver v1.4.8 'config/crd/bases/*.yaml' ||
    lacks "the secrets store CSI driver's definitions"
  crds istio istio.io/api v1.27.3 'kubernetes/customresourcedefinitions.gen.yaml' || lacks "Istio's definitions"
  crds kserve github.com/kserve/kserve v0.16.0 'config/crd/full/*inferenceservices.yaml' || lacks "KServe's definition"
  crds emissary github.com/emissary-ingress/emissary/v3 v3.10.0 'pkg/api/getambassador.io/crds.yaml' ||
    lacks "Ambassador's definitions"
  binary kube-apiserver k8s.io/kubernetes $KUBERNETES k8s.io/kubernetes/cmd/kube-apiserver || lacks kube-apiserver
  binary kube-controller-manager k8s.io/kubernetes $KUBERNETES k8s.io/kubernetes/cmd/kube-controller-manager ||
    lacks kube-controller-manager
  binary kube-scheduler k8s.io/kubernetes $KUBERNETES k8s.io/kubernetes/cmd/kube-scheduler || lacks kube-scheduler
  if command -v kubectl >/dev/null; then ln -sf "$(command -v kubectl)" "$OUT/bin/kubectl"; fi
  binary kubectl k8s.io/kubernetes $KUBERNETES k8s.io/kubernetes/cmd/kubectl || lacks kubectl
  program jaeger github.com/jaegertracing/jaeger 1.76.0 ./cmd/jaeger || lacks jaeger
  binary kwok sigs.k8s.io/kwok $KWOK sigs.k8s.io/kwok/cmd/kwok || lacks kwok
fi
say "in $OUT: $(cd "$OUT" && echo bin/* crds/*)"
exit $missing
