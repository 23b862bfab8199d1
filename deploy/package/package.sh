#!/usr/bin/env bash
# package.sh: a release in target/package/out: an archive, a .deb, and what is in them (SBOM, licences). The same commit on the same
# toolchain gives the same bytes, wherever it is built.
# package.sh --binary FILE FOLDER: packs a binary that is there, in a folder that is not.
# DEBFULLNAME, DEBEMAIL: who answers for the .deb, as other Debian tools take it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work="$PWD/target/package"
[[ "${1:-}" != --binary ]] || work="$(realpath -m "$3")"
features=kafka-tls,kafka-zstd

version="$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)"
architecture="$(dpkg --print-architecture)"
system="$(rustc -vV | sed -n 's/^host: //p')"
name="gocdnext-flow-$version-$system"
maintainer="${DEBFULLNAME:-whoever built it} <${DEBEMAIL:-root@localhost}>"
# the commit's time, not that of the build
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

build() {
  local cargo_home="${CARGO_HOME:-$HOME/.cargo}" sysroot maps
  sysroot="$(rustc --print sysroot)"
  # no path of the machine it is built on, in C's code either
  maps="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$cargo_home=/cargo"
  CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$work/build" CFLAGS="$maps" CXXFLAGS="$maps" \
    RUSTFLAGS="--remap-path-prefix=$PWD=/src --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$sysroot=/rust" \
    cargo build --release --locked --features "$features" --bin gocdnext-flow
  cp "$work/build/release/gocdnext-flow" "$work/gocdnext-flow"
}

# The program tells nothing of the machine that it was built on, or it would be another one elsewhere.
check_paths() {
  local path
  for path in "$PWD" "${CARGO_HOME:-$HOME/.cargo}" "$(rustc --print sysroot)"; do
    if grep -aqF -- "$path" "$work/gocdnext-flow"; then
      echo "package: the program holds $path: a path of this machine; see what maps them away in build()" >&2
      exit 1
    fi
  done
}

# documents FOLDER: what both packages hold besides the program.
documents() {
  mkdir -p "$1"
  install -m 644 LICENSE README.md CHANGELOG.md "$work/THIRD-PARTY" "$work/sbom.cdx.json" "$1"
}

# Sorted, without owners, and with one time for all.
archive() { tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$work" -cf - "$1" | gzip -n; }

tarball() {
  local root="$work/$name"
  mkdir -p "$root/systemd"
  install -m 755 "$work/gocdnext-flow" "$root"
  install -m 644 deploy/systemd/* "$root/systemd"
  documents "$root"
  archive "$name" >"$work/out/$name.tar.gz"
}

deb() {
  local root="$work/deb"
  install -D -m 755 "$work/gocdnext-flow" "$root/usr/bin/gocdnext-flow"
  install -D -m 644 deploy/systemd/gocdnext-flow.service "$root/lib/systemd/system/gocdnext-flow.service"
  install -D -m 644 deploy/systemd/gocdnext-flow.toml "$root/etc/gocdnext-flow/gocdnext-flow.toml"
  documents "$root/usr/share/doc/gocdnext-flow"
  install -D -m 755 -t "$root/DEBIAN" deploy/package/debian/{postinst,prerm,postrm}
  echo /etc/gocdnext-flow/gocdnext-flow.toml >"$root/DEBIAN/conffiles"
  sed -e "s/@MAINTAINER@/${maintainer//[\/&\\]/}/" -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@DEPENDS@/$(depends)/" \
    -e "s/@SIZE@/$(du -sk --apparent-size "$root" | cut -f1)/" deploy/package/debian/control >"$root/DEBIAN/control"
  # dpkg-deb takes SOURCE_DATE_EPOCH for what is newer
  find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zxz --build "$root" "$work/out/gocdnext-flow_${version}_$architecture.deb" >&2
}

# The Debian packages whose libraries the binary is linked with.
depends() {
  mkdir -p "$work/debian"
  printf 'Source: gocdnext-flow\n\nPackage: gocdnext-flow\nArchitecture: any\n' >"$work/debian/control"
  (cd "$work" && dpkg-shlibdeps -O gocdnext-flow 2>/dev/null) | sed -n 's/^shlibs:Depends=//p'
}

mkdir -p "$work"
rm -rf "$work/out" "$work/deb" "$work/debian" "${work:?}/$name"
mkdir "$work/out"
if [[ "${1:-}" == --binary ]]; then cp "$2" "$work/gocdnext-flow"; else build; fi
strip "$work/gocdnext-flow"
check_paths
cargo metadata --locked --format-version 1 --filter-platform "$system" --features "$features" >"$work/metadata.json"
python3 deploy/package/inventory.py "$work/metadata.json" "$work" >&2
tarball
deb
cp "$work/sbom.cdx.json" "$work/out/$name.cdx.json"
(cd "$work/out" && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
