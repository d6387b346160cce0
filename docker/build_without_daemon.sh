#!/bin/sh
# Builds docker/Dockerfile by buildah, without a Docker daemon and without a registry of images, and does a run in it.
#
#   docker/build_without_daemon.sh FOLDER [ARGUMENT-OF-buildah-build…]
#
# The base is Debian as debootstrap makes it, with its Python; FOLDER (some GB) holds that and the images. For Debian
# and Ubuntu as root, with the packages buildah, debootstrap and crun. What pip needs here beyond its defaults, such as
# a folder of wheels, is handed on by arguments: --volume /wheels:/wheels:ro --env PIP_FIND_LINKS=/wheels
set -eu

say() { echo "build: $*" >&2; }

if [ $# = 0 ] || [ "$(id -u)" != 0 ]; then
    say "usage, as root: $0 FOLDER [ARGUMENT-OF-buildah-build…]"
    exit 2
fi
for program in buildah debootstrap crun; do
    command -v $program >/dev/null || { say "$program is missing: apt install buildah debootstrap crun" && exit 1; }
done
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot
images="--root $folder/images --runroot $folder/run" # of our own: nothing of the machine's is touched

if [ ! -e "$folder/debian.made" ]; then
    say "Debian, by debootstrap"
    rm -rf "$folder/debian"
    debootstrap --variant=minbase --include=ca-certificates,python3-dev,python3-venv bookworm "$folder/debian" >&2
    chroot "$folder/debian" apt-get clean
    touch "$folder/debian.made"
fi
if ! buildah $images inspect --type image localhost/base >/dev/null 2>&1; then
    say "the base image"
    base=$(buildah $images from scratch)
    buildah $images add --quiet "$base" "$folder/debian" / >/dev/null
    buildah $images config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$base"
    buildah $images commit --quiet --rm "$base" localhost/base >/dev/null
fi
say "the image"
buildah $images build --format docker --file docker/Dockerfile --build-arg BASE=localhost/base --layers --tag sandwich "$@" . >&2
say "a run in it"
container=$(buildah $images from sandwich)
trap 'buildah $images rm "$container" >/dev/null' EXIT
buildah $images run --user sandwich "$container" -- sandwich run quick steps=1 play.games=32 play.block=16 evaluate.pairs=8
buildah $images run --user sandwich "$container" -- python3 -c '
from engines.stockfish import find_stockfish
from experiments.viewer import assets
import engines._rules
print("Stockfish:", find_stockfish())
print("board:", "chessground" if assets.has_chessground() else "missing")
'
