#!/usr/bin/env bash
# Builds PJSIP and the `pjsua2` wheel with our native classes in it, once per version of source, code and Python.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: gateway/sip/native/build.sh [--python PY] [--out DIR]
#   --python PY   the interpreter to build for (default: $VIRTUAL_ENV's, else python3)
#   --out DIR     also copy the wheel there
# The last line on stdout is the wheel's path; progress goes to stderr. What was built is kept in
# ${SWITCHHOOK_CACHE:-~/.cache/switchhook}: a second run takes a second and needs no network.
#
# The source is pjproject as Debian's `asterisk` source package carries it in unstable: signed, current, maintained. It is
# fetched from the Debian mirror that this machine's apt uses. PJPROJECT_SRC=/path/to/tree builds from a tree of your own
# (which is copied, never changed). To look for a newer version, delete the cache's folder `source`.
# shellcheck disable=SC2317 # functions that `step` calls
set -euo pipefail

native=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SWITCHHOOK_CACHE:-${HOME:-/root}/.cache/switchhook}
began=$SECONDS

say() { printf 'build.sh: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# ---------------------------------------------------------------------------------------------------- what is asked for

python=${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/python}
python=${python:-python3}
out=
while [ $# -gt 0 ]; do
    case $1 in
        --python | --out)
            [ $# -ge 2 ] || die "$1 needs a value; usage: build.sh [--python PY] [--out DIR]"
            if [ "$1" = --python ]; then python=$2; else out=$2; fi
            shift 2
            ;;
        -h | --help)
            sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) die "unknown argument '$1'; usage: build.sh [--python PY] [--out DIR]" ;;
    esac
done
found=$(command -v "$python") || die "no Python at '$python': give --python /path/to/python (3.11 or newer)"
python=$(cd "$(dirname "$found")" && pwd)/${found##*/} # absolute, but not resolved: a venv is known by its path
abi=$("$python" -c 'import sys, sysconfig
assert sys.version_info >= (3, 11), "too old"
print(sysconfig.get_config_var("SOABI"))' 2>/dev/null) || die "'$python' is not Python 3.11 or newer: give another one with --python"
mkdir -p "$cache/source" "$cache/wheels" "$cache/logs" || die "cannot write to $cache: set SWITCHHOOK_CACHE to a folder of yours"
cache=$(cd "$cache" && pwd)

# -------------------------------------------------------------------------------------------------------- what is there

sha() { sha256sum | cut -c1-"${1:-64}"; }

# The version that an earlier run fetched, when its tarball is still whole.
remembered_source() {
    [ -s "$cache/source/current" ] || return 1
    local version file sum
    read -r version file sum <"$cache/source/current" || return 1
    [ -f "$cache/source/$file" ] && [ "$(sha <"$cache/source/$file")" = "$sum" ] || return 1
    printf '%s %s\n' "$version" "$cache/source/$file"
}

source_id=
tarball=
identify_source() {
    if [ -n "${PJPROJECT_SRC:-}" ]; then
        for file in version.mak aconfigure pjlib/include/pj/config.h pjsip-apps/src/swig/pjsua2.i; do
            [ -f "$PJPROJECT_SRC/$file" ] || die "PJPROJECT_SRC=$PJPROJECT_SRC is not a pjproject tree: it has no $file"
        done
        source_id=own-$(cd "$PJPROJECT_SRC" && find . -type f \( -name '*.[ch]' -o -name '*.[ch]pp' -o -name '*.i' -o -name '*.in' -o -name '*.mak' \
            -o -name Makefile -o -name aconfigure \) -print0 | sort -z | xargs -0 sha256sum | sha 16)
    elif remembered=$(remembered_source); then
        source_id=${remembered%% *}
        tarball=${remembered#* }
    else
        return 1
    fi
}

# The wheel's folder: named by everything that goes into it.
wheels_for_key() {
    printf '%s/wheels/%s' "$cache" "$({
        printf '%s\n%s\n' "$source_id" "$abi"
        cd "$native" && find . -maxdepth 1 -type f \( -name '*.sh' -o -name '*.[ch]pp' -o -name '*.h' -o -name '*.i' -o -name '*.py' \) -print0 |
            sort -z | xargs -0 sha256sum
    } | sha 16)"
}

finish() {
    local wheel=$1
    if [ -n "$out" ]; then
        mkdir -p "$out"
        cp "$wheel" "$out/"
        wheel=$(cd "$out" && pwd)/${wheel##*/}
    fi
    printf '%s\n' "$wheel"
    exit 0
}

finish_if_built() {
    local wheel
    for wheel in "$(wheels_for_key)"/*.whl; do
        [ -f "$wheel" ] && finish "$wheel"
    done
    return 0
}

if identify_source; then finish_if_built; fi

# From here on, one at a time; another run may have done the work while we waited.
exec 9>"$cache/lock"
if ! flock -n 9; then
    say "another build is running: waiting for it"
    flock 9
fi
if identify_source; then finish_if_built; fi

# --------------------------------------------------------------------------------------------------------- what it needs

missing=()
packages=()
need() { # need WHAT PACKAGE
    missing+=("$1")
    packages+=("$2")
}
compiler_ok() { printf '#include <atomic>\nint main() { return 0; }\n' | g++ -std=c++17 -x c++ -fsyntax-only - 2>/dev/null; }
header_ok() { printf '#include <%s>\n' "$1" | g++ -x c++ -E "${@:2}" - >/dev/null 2>&1; }

for tool in gcc g++; do
    command -v $tool >/dev/null || die "no C/C++ compiler ($tool): apt-get install build-essential"
done
compiler_ok || die "g++ cannot compile a small C++17 program: apt-get install --reinstall build-essential"
for pair in make:make swig:swig xz:xz-utils tar:tar ar:binutils; do
    command -v "${pair%%:*}" >/dev/null || need "${pair%%:*}" "${pair##*:}"
done
for pair in openssl/ssl.h:libssl-dev srtp2/srtp.h:libsrtp2-dev opus/opus.h:libopus-dev bcg729/encoder.h:libbcg729-dev \
    samplerate.h:libsamplerate0-dev uuid/uuid.h:uuid-dev; do
    header_ok "${pair%%:*}" || need "${pair%%:*}" "${pair##*:}"
done
python_headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
header_ok Python.h "-I$python_headers" || need "Python.h (for $python)" python3-dev
if [ ${#missing[@]} -gt 0 ]; then
    list=$(printf ', %s' "${missing[@]}")
    die "missing: ${list:2}; install with: apt-get install ${packages[*]}"
fi
"$python" -c 'import setuptools
try:
    import setuptools.command.bdist_wheel
except ImportError:
    import wheel' 2>/dev/null || die "'$python' has no setuptools (70.1 or newer, or with wheel): $python -m pip install setuptools wheel"

# ------------------------------------------------------------------------------------------------------------ the source

# Mirrors of the Debian archive among this machine's apt sources, likeliest first, one per line.
debian_mirrors() {
    "$python" - <<'PY'
import glob, re

SUITE = re.compile(r"^(stable|testing|unstable|sid|oldstable|bookworm|trixie|forky|duke)(-updates|-backports|-proposed-updates)?$")


def entries():
    """(uri, suites, components, signed_by) of every enabled source, both file formats."""
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*.list"))]:
        try:
            lines = open(path, encoding="utf-8", errors="replace").read().splitlines()
        except OSError:
            continue
        for line in lines:
            m = re.match(r"^\s*deb(?:-src)?\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+?)\s*(?:#.*)?$", line)
            if m:
                signed = re.search(r"signed-by=(\S+)", m[1] or "", re.I)
                yield m[2], [m[3]], m[4].split(), signed[1] if signed else ""
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
        try:
            text = open(path, encoding="utf-8", errors="replace").read()
        except OSError:
            continue
        text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        for stanza in re.split(r"\n\s*\n", text):
            fields = {k.lower(): " ".join(v.split()) for k, v in re.findall(r"^(\S+?):((?:.*\n?)(?:[ \t]+.*\n?)*)", stanza, re.M)}
            if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
                continue
            for uri in fields.get("uris", "").split():
                yield uri, fields.get("suites", "").split(), fields.get("components", "").split(), fields.get("signed-by", "")


found = {}
for uri, suites, components, signed in entries():
    uri = uri.rstrip("/")
    if "main" in components and any(SUITE.match(s) for s in suites) and not uri.startswith("cdrom:"):
        score = 2 * ("debian-archive-keyring" in signed) + uri.endswith("/debian")
        found[uri] = max(score, found.get(uri, 0))
for uri in sorted(found, key=lambda u: -found[u]):
    print(uri)
PY
}

fetch_source() {
    local own="or set PJPROJECT_SRC to a pjproject 2.17 tree of your own" mirrors mirror keyring='' apt state log=$cache/logs/source.log
    command -v apt-get >/dev/null || die "no apt-get here to fetch PJSIP's source with: build on Debian, $own"
    for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp} none; do
        [ -f "$keyring" ] && break
    done
    [ "$keyring" != none ] || die "cannot check Debian's signature: apt-get install debian-archive-keyring, $own"
    mirrors=$(debian_mirrors)
    [ -n "$mirrors" ] || die "no Debian mirror found in /etc/apt/sources.list and sources.list.d: add one, $own"

    state=$cache/source/apt
    rm -rf "$state"
    mkdir -p "$state/parts" "$state/lists/partial" "$state/cache/archives/partial" "$state/download"
    apt=(-o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$state/parts" -o "Dir::State::Lists=$state/lists"
        -o "Dir::Cache=$state/cache" -o "APT::Sandbox::User=root" -o "Acquire::Languages=none" -o "Acquire::Retries=2"
        -o "Acquire::Check-Valid-Until=false") # a mirror's snapshot keeps the Release file of its day
    : >"$log"
    while read -r mirror; do
        printf 'Types: deb-src\nURIs: %s\nSuites: unstable\nComponents: main\nSigned-By: %s\n' "$mirror" "$keyring" >"$state/parts/switchhook.sources"
        say "looking for PJSIP's source in Debian unstable at $mirror"
        if apt-get "${apt[@]}" --error-on=any update >>"$log" 2>&1 &&
            (cd "$state/download" && apt-get "${apt[@]}" --only-source --download-only source asterisk >>"$log" 2>&1); then
            keep_source "$state" && return
            die "Debian's asterisk source has no pjproject tarball any more (see $log): set PJPROJECT_SRC to a pjproject 2.17 tree of your own"
        fi
    done <<<"$mirrors"
    die "PJSIP's source could not be fetched with apt (no network, or the mirror has no unstable; see $log): try again, $own"
}

# apt has checked the signature and every hash; of the files we keep pjproject alone.
keep_source() {
    local state=$1 dsc file version
    dsc=$(find "$state/download" -name '*.dsc' -print -quit)
    file=$(find "$state/download" -name '*orig-Xpjproject.tar.*' -print -quit)
    [ -n "$dsc" ] && [ -n "$file" ] || return 1
    version=$(sed -n 's/^Version: //p' "$dsc" | head -n 1)
    mv "$file" "$cache/source/"
    file=${file##*/}
    printf '%s %s %s\n' "$version" "$file" "$(sha <"$cache/source/$file")" >"$cache/source/current.new"
    mv "$cache/source/current.new" "$cache/source/current"
    rm -rf "$state"
}

if ! identify_source; then
    fetch_source
    identify_source || die "the fetched source is not whole: delete $cache/source and try again"
    finish_if_built # an older wheel of the same source
fi

# ------------------------------------------------------------------------------------------------------------- the build

# PJSIP's libraries are built in $cache/pjsip and stay there: what we add to native/ later is then built in seconds.
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp -R "$native" "$work/native" # what is edited while we build belongs to the next build
native=$work/native
wheels=$(wheels_for_key)
key=${wheels##*/}
log=$cache/logs/$key.log
: >"$log"

step() { # step NAME COMMAND…: its output goes to the log; failing ends the build
    local name=$1 status
    shift
    say "building PJSIP${version:+ $version} (${expected:-about 2 minutes}): $name … [$((SECONDS - began)) s]"
    printf '== %s: %s\n' "$name" "$*" >>"$log"
    set +e # in a condition, `set -e` would be off inside the command too
    (
        set -e
        "$@"
    ) >>"$log" 2>&1 9>&-
    status=$?
    set -e
    [ $status -eq 0 ] || fail "$name"
}
fail() {
    grep -E 'error:|Error [0-9]|undefined reference|fatal' "$log" | tail -n 3 >&2 || true
    die "the build failed at: $1; the whole output is in $log"
}

unpack() {
    rm -rf "$cache/pjsip"
    mkdir -p "$pj"
    if [ -n "$tarball" ]; then
        tar -xJf "$tarball" -C "$pj" --strip-components=1
    else
        cp -R "$PJPROJECT_SRC/." "$pj"
        find "$pj" \( -name '*.o' -o -name '*.a' -o -name '*.depend' \) -delete
    fi
    chmod +x "$pj/configure" "$pj/aconfigure" "$pj/config.guess" "$pj/config.sub"
    sed -i 's/ bdimad_dev\.o//' "$pj/pjmedia/build/Makefile" # Debian strips this file
    cp "$native/config_site.h" "$pj/pjlib/include/pj/config_site.h"
}
configure() {
    cd "$pj"
    # NDEBUG: an assertion that a remote can reach would end the process. Echo cancellers, resamplers and codecs that are
    # not ours to sell, and that Debian strips, are off; srtp, samplerate, opus and bcg729 are Debian's.
    CFLAGS="$flags" CXXFLAGS="$flags" ./configure --enable-epoll --disable-video --disable-sound --with-external-srtp --enable-libsamplerate \
        --disable-libyuv --disable-libwebrtc --disable-libwebrtc-aec3 --disable-ilbc-codec --disable-g7221-codec --disable-speex-codec \
        --disable-speex-aec --disable-gsm-codec --disable-l16-codec --disable-upnp --disable-silk
    local wanted
    for wanted in 'PJ_HAS_SSL_SOCK 1' 'PJMEDIA_HAS_OPUS_CODEC 1' 'PJMEDIA_HAS_BCG729 1' 'PJ_IOQUEUE_IMP PJ_IOQUEUE_IMP_EPOLL'; do
        grep -rqs "^#define $wanted\$" pjlib/include/pj/compat/os_auto.h pjmedia/include || { echo "configure error: not found: $wanted"; return 1; }
    done
}
helper() { make -s --no-print-directory -C "$pj/pjsip-apps/src/swig/python" -f helper.mak "$1" | tr '\n' ' '; }
# SWIG lets go of the interpreter lock around everything, which takes long to get back when Python is busy. Reading and
# writing the fields of a struct, and vectors of them, need not: drop it there.
keep_lock_for_fields() {
    awk '/^SWIGINTERN PyObject \*_wrap_/ {
             field = /^SWIGINTERN PyObject \*_wrap_[A-Za-z0-9]+_[A-Za-z0-9_]+_(get|set)\(/ ||
                     (/^SWIGINTERN PyObject \*_wrap_(new_|delete_)?[A-Za-z]+Vector2?(_|\()/ && !/Buddy|AudioMedia|VideoMedia/)
         }
         field && /^ *SWIG_PYTHON_THREAD_(BEGIN|END)_ALLOW; *$/ { next }
         { print }' "$1" >"$1.new" && mv "$1.new" "$1"
}
interface() {
    cd "$work" # and a relative path: SWIG writes it into its output, of which wrapper() takes the hash
    # shellcheck disable=SC2086 # words
    swig -c++ -python -threads -w312 $includes "-I$pj/pjsip-apps/src/swig" -o pjsua2_wrap.cpp native/switchhook.i
    keep_lock_for_fields pjsua2_wrap.cpp
}
wrapper() { # the object stays beside the libraries, under a name made of all that goes into it
    local kept
    kept=$pj/wrapper-$({
        printf '%s %s\n' "$abi" "$python_headers"
        cat "$work/pjsua2_wrap.cpp" "$work/pjsua2_wrap.h" "$native"/*.hpp
    } | sha 16).o
    if [ ! -f "$kept" ]; then
        rm -f "$pj"/wrapper-*
        cd "$work"
        # -O1: two thirds of the time of -O2, for code that only converts arguments.
        # shellcheck disable=SC2086
        g++ -std=c++17 $flags -O1 -fno-strict-aliasing $defines $includes "-I$python_headers" -c pjsua2_wrap.cpp -o wrapper.o &
        trap 'kill $! 2>/dev/null' TERM
        wait $!
        mv wrapper.o "$kept"
    fi
    cp "$kept" "$work/pjsua2_wrap.o"
}
libraries() {
    [ ! -f "$pj/.built" ] || return 0
    make -C "$pj" "-j$(nproc)" lib
    find "$pj" -name '*.o' ! -name 'wrapper-*' -delete
    touch "$pj/.built"
}
libraries_and_wrapper() { # side by side: the wrapper is one file and keeps one core busy
    wrapper >"$work/wrapper.log" 2>&1 &
    local other=$! status
    set +e
    (
        set -e
        libraries
    )
    status=$?
    [ "$status" -eq 0 ] || kill "$other" 2>/dev/null
    wait "$other" || status=1
    cat "$work/wrapper.log"
    return "$status"
}
ours() {
    cd "$work"
    local source
    for source in "$native"/*.cpp; do
        # shellcheck disable=SC2086
        g++ -std=c++17 $flags -Wall -Wextra $defines $includes "-ffile-prefix-map=$native/=" -c "$source" -o "${source##*/}.o"
    done
}
wheel() {
    cd "$work"
    mkdir pack
    cp "$native/setup.py" pjsua2.py pack/
    cd pack
    SH_VERSION="$version+switchhook.${key:0:8}" SH_OBJECTS="$(printf '%s ' "$work"/*.o)" SH_LDFLAGS="-s $(helper ldflags) $(helper libs | sed 's/\([^ ]\+\)/-l\1/g')" \
        "$python" setup.py bdist_wheel
    "$python" -m zipfile -e dist/*.whl unpacked
    cd unpacked
    "$python" -B -c 'import pjsua2; pjsua2.PcmHub().fd()' # every symbol is there
}

flags='-O2 -fPIC -DNDEBUG'
defines='-DPJ_AUTOCONF=1 -DPJ_IS_BIG_ENDIAN=0 -DPJ_IS_LITTLE_ENDIAN=1'
[ "$("$python" -c 'import sys; print(sys.byteorder)')" = little ] || defines='-DPJ_AUTOCONF=1 -DPJ_IS_BIG_ENDIAN=1 -DPJ_IS_LITTLE_ENDIAN=0'
pj=$cache/pjsip/$({
    printf '%s %s\n' "$source_id" "$flags"
    declare -f unpack configure libraries
    cat "$native/config_site.h"
} | sha 16)
includes="-I$native"
for part in pjlib pjlib-util pjnath pjmedia pjsip; do includes+=" -I$pj/$part/include"; done

version=
expected=
if [ -f "$pj/.built" ]; then
    expected='the libraries are there: 10 s to 2 minutes'
else
    step unpack unpack
fi
version=$(sed -n 's/^export PJ_VERSION_\(MAJOR\|MINOR\|REV\) *:= *\([0-9]\+\) *$/\2/p' "$pj/version.mak" | paste -sd.)
[ "$(printf '2.17\n%s\n' "$version" | sort -V | head -n 1)" = 2.17 ] || die "this is pjproject $version, and 2.17 or newer is needed: set PJPROJECT_SRC to a newer tree"
[ -f "$pj/.built" ] || step configure configure
step "Python interface" interface
step "libraries and Python module" libraries_and_wrapper
step "native classes" ours
step wheel wheel

mkdir -p "$wheels.new"
mv "$work"/pack/dist/*.whl "$wheels.new/"
rm -rf "$wheels"
mv "$wheels.new" "$wheels"
say "built PJSIP $version in $((SECONDS - began)) s"
finish "$(find "$wheels" -name '*.whl' -print -quit)"
