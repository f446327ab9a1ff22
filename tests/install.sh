# SPDX-License-Identifier: Apache-2.0
# Sourced by ./check and ./demo: installs Debian packages that are missing, one line per step, and
# starts none of the services that come with them.

# The loader splits LD_PRELOAD there (ld.so(8)).
case $PWD in
*[\ :]*)
    echo "$PWD: LD_PRELOAD cannot hold a path with a space or a colon; clone to another place" >&2
    exit 1
    ;;
esac

step() { printf '%s ...\n' "$*"; }

is_installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed$'; }

# Runs a command and shows its output only if it fails.
quietly() {
    local log status
    log=$(mktemp)
    if "$@" >"$log" 2>&1 </dev/null; then rm -f "$log"; return 0; else status=$?; fi
    cat "$log" >&2
    rm -f "$log"
    return "$status"
}

# A package's scripts ask this file before they start a service (invoke-rc.d(8)). It lives only as
# long as an installation, and one that somebody else put there is left alone.
policy=/usr/sbin/policy-rc.d
made_policy=
forbid_services() {
    [ -e "$policy" ] && return
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made_policy=yes
}
allow_services() {
    [ -z "$made_policy" ] || rm -f "$policy"
    made_policy=
}

is_updated=
# install "what for" PACKAGE...; false: a package could not be installed.
install() {
    local purpose=$1 package missing=()
    shift
    for package; do is_installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "missing: ${missing[*]}; as root: apt-get install ${missing[*]}" >&2
        return 1
    fi
    if [ -z "$is_updated" ]; then
        step "Reading the lists of packages"
        quietly apt-get -qq update || true # an old list may do
        is_updated=yes
    fi
    step "Installing $purpose: ${missing[*]}"
    forbid_services
    local status=0
    DEBIAN_FRONTEND=noninteractive quietly \
        apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "${missing[@]}" || status=$?
    allow_services
    return "$status"
}

build_packages=(gcc libc6-dev meson ninja-build pkg-config protobuf-c-compiler libprotobuf-c-dev
    zlib1g-dev libyaml-dev python3)
