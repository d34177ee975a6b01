# SPDX-License-Identifier: MIT
#
# Sourced by tests/run, benchmarks/run and .ci/run: finds what is missing, installs it, configures a
# build. Callers set `root` to the source tree. Nothing here reads stdin or needs a terminal.

# shellcheck shell=bash
# shellcheck disable=SC2154  # root is the caller's
exec </dev/null

say() { printf '== %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }

# Debian and Ubuntu packages to install; the want_* functions fill it in.
packages=()

# want_command COMMAND PACKAGE. Run, not looked up: version managers leave stubs that only fail.
want_command() { "$1" --version >/dev/null 2>&1 || packages+=("$2"); }

# want_library PKG_CONFIG_MODULE PACKAGE
want_library() { pkg-config --exists "$1" 2>/dev/null || packages+=("$2"); }

# want_tools: a compiler ($CXX if it is set), Meson, Ninja and pkg-config.
want_tools() {
    want_command "${CXX:-c++}" "$(compiler_package "${CXX:-g++}")"
    want_command meson meson
    want_command ninja ninja-build
    want_command pkg-config pkg-config
}

compiler_package() {
    local name=${1##*/}
    case $name in
    clang++*) printf 'clang%s\n' "${name#clang++}" ;;
    *) printf '%s\n' "$name" ;;
    esac
}

# version_suffix clang++-19 -> -19
version_suffix() {
    local name=${1##*/}
    printf '%s\n' "${name#clang++}"
}

# builds FLAG...: whether $CXX makes a program with these flags.
builds() {
    local program
    program=$(mktemp)
    echo '#include <version>
          int main() {}' | "${CXX:-c++}" -std=c++20 "$@" -x c++ - -o "$program" 2>/dev/null
    local result=$?
    rm -f "$program"
    return "$result"
}

# as_root COMMAND...
as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

apt_updated=
# --no-remove where it is better to do without than to lose another package.
install_options=(--no-install-recommends)
apt_install() { apt_get install "${install_options[@]}" "$@"; }

# install_packages: installs what is in `packages`, as far as apt-get is there and willing.
install_packages() {
    ((${#packages[@]})) || return 0
    local wanted=("${packages[@]}") log package
    packages=()
    if ! command -v apt-get >/dev/null; then
        warn "apt-get is not here, so these were not installed: ${wanted[*]}"
        return 1
    fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        warn "neither root nor sudo, so these were not installed: ${wanted[*]}"
        return 1
    fi
    log=$(mktemp)
    say "installing with apt-get: ${wanted[*]}"
    if [[ -z $apt_updated ]]; then
        apt_get update >"$log" 2>&1 || warn "apt-get update failed: $(tail -n 1 "$log")"
        apt_updated=yes
    fi
    if ! apt_install "${wanted[@]}" >"$log" 2>&1; then
        # One name that apt does not know must not keep the others out.
        for package in "${wanted[@]}"; do
            apt_install "$package" >"$log" 2>&1 ||
                warn "apt-get cannot install $package: $(grep -m 1 "^E:" "$log")"
        done
    fi
    rm -f "$log"
    hash -r
}

# need_tools: stops when a tool is missing for which Meson has no substitute.
need_tools() {
    local problems=()
    "${CXX:-c++}" --version >/dev/null 2>&1 ||
        problems+=("a C++20 compiler (${CXX:-g++ 12 or clang++ 14, or newer})")
    local version
    version=$(meson --version 2>/dev/null || echo 0)
    ((${version%%.*} >= 1)) ||
        problems+=("Meson 1.0 or newer (found: $version; pip install meson)")
    ninja --version >/dev/null 2>&1 || problems+=("Ninja (pip install ninja)")
    if ((${#problems[@]})); then
        printf 'error: missing and not installable here: %s\n' "${problems[@]}" >&2
        return 1
    fi
}

# wrap_mode MODULE...: prints Meson's option; where a library is missing, its wrap is downloaded.
wrap_mode() {
    local module absent=()
    for module in "$@"; do
        pkg-config --exists "$module" 2>/dev/null || absent+=("$module")
    done
    if ((${#absent[@]})); then
        say "not installed: ${absent[*]}; Meson downloads them as subprojects (wraps)" >&2
        echo --wrap-mode=default
    else
        echo --wrap-mode=nodownload
    fi
}

# configure DIR MESON_OPTION...: sets DIR up, anew only if anything differs from the last time.
configure() {
    local dir=$1 wanted
    shift
    wanted=$(printf '%s\n' "$root" "${CXX-}" "${CXXFLAGS-}" "${LDFLAGS-}" "$@" \
        "$root"/docs/examples/*.cpp)
    [[ ! -f $dir/configured-as || $(<"$dir/configured-as") != "$wanted" ]] || return 0
    if [[ -d $dir/meson-private ]]; then rm -rf "$dir"; fi
    meson setup "$dir" "$root" "$@" || return 1
    printf '%s\n' "$wanted" >"$dir/configured-as"
}
