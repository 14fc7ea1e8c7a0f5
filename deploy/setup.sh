#!/usr/bin/env bash
# Makes .venv and installs Millrace with everything that development, tests and the demo need.
# Does nothing when pyproject.toml and constraints.txt are the ones it last installed. `make setup` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

say() { printf '%s\n' "setup: $*"; }
fail() { printf '%s\n' "" "setup failed: $1" "${@:2}" >&2; exit 1; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11, 3.12 or 3.13 is needed and none was found." \
        "On Debian or Ubuntu: apt-get install python3 python3-venv; on macOS: brew install python@3.13." \
        "With one elsewhere: PYTHON=/path/to/python3.11 make setup"
}

install() {
    local step=$1 status
    shift
    say "$step"
    set +e
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input -c constraints.txt "$@" 2>&1 |
        tee -a "$log" | grep --line-buffered -E '^(Collecting|Processing|Obtaining|  Building|Installing|Successfully|ERROR)' |
        awk '/^(Collecting|Processing|Obtaining)/ { count++; if (count % 20 == 0) { print "setup:   " count " packages found …"; fflush() } next }
             { print "setup:   " substr($0, 1, 100); fflush() }'
    status=${PIPESTATUS[0]}
    set -e
    [ "$status" -eq 0 ] || fail "pip ended with status $status; the end of $log:" "$(tail -n 12 "$log")" "" \
        "What helps most often: a working network or package mirror (pip config list shows which is used)," \
        "3 GB of free disk, or starting afresh with: rm -rf $venv && make setup"
}

python=$(find_python)
wanted=$("$python" - <<'PY'
import hashlib, pathlib, sys
content = b"".join(pathlib.Path(name).read_bytes() for name in ("pyproject.toml", "constraints.txt", "deploy/setup.sh"))
print(hashlib.sha256(content + str(pathlib.Path.cwd()).encode() + sys.version.encode()).hexdigest()[:16])
PY
)
mkdir -p "$(dirname "$venv")" var
# Two doors opened at once must not install over each other.
if command -v flock >/dev/null 2>&1; then
    exec 9>var/setup.lock
    flock -n 9 || { say "waiting for another setup"; flock 9; }
fi
stamp="$venv/.millrace-$wanted"
[ ! -e "$stamp" ] || exit 0

log=var/setup.log
: >"$log"
began=$SECONDS
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "1/3 making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv" >>"$log" 2>&1 || fail "Python could not make a virtual environment:" "$(tail -n 5 "$log")" \
        "On Debian or Ubuntu: apt-get install python3-venv"
else
    say "1/3 $venv is there"
fi
if [ "$(uname -s)" = Linux ] && [ ! -e /proc/driver/nvidia/version ]; then
    say "this machine has no NVIDIA driver: should pip now fetch packages named nvidia-…, it was offered GPU builds only;"
    say "they work, and take 5 GB. To save that, point pip at an index with CPU builds of torch (README.md) and start again."
fi
# torch by itself and first: of the builds on offer pip then takes the one that this machine's configuration prefers.
install "2/3 torch (the largest; some minutes on a slow line)" "torch==2.13.0"
install "3/3 Millrace with its worker, embedded services and development tools" -e ".[worker,data,embedded,dev]"
rm -f "$venv"/.millrace-*
touch "$stamp"
say "done in $((SECONDS - began)) s"
