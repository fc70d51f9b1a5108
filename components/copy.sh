# Copies the registry's images from one storage to another. MODE says why:
#
# backup   while the registry takes pushes. Nothing is removed, so that what was deleted by mistake is still there.
# restore  while the registry is read-only; then every blob is compared with its digest.
# move     twice: while the registry takes pushes, and then, while it is read-only, what has changed since. Every blob is
#          compared with its digest.
#
# Environment: see copying.py. /work is shared with hold.sh.
set -eu
trap 'exit 143' TERM

V2=docker/registry/v2

say() { echo "$MODE: $*"; }
refuse() {
    say "$*" >&2
    exit 1
}
# A shell that does not know the option ends; without it, what fails before a pipe goes unseen.
(set -o pipefail) 2>/dev/null ||
    refuse "the shell of this image has no option pipefail: give registry:tools.rclone one with bash or busybox as /bin/sh"
set -o pipefail

# A signal ends the shell's wait at once; of a program in the foreground it awaits the end.
run() { "$@" & wait "$!"; }

# has_images STORAGE; to rclone, 3 is a folder that does not exist.
has_images() {
    code=0
    found=$(rclone lsf "$1/$V2/blobs" 2>/work/error) || code=$?
    case $code in
        0 | 3) [ "$found" ] ;;
        *) refuse "the storage at $1 cannot be read: $(cat /work/error)" ;;
    esac
}

# transfer COMMAND FOLDER OPTION: with rclone's `sync`, what the source does not have goes, too.
transfer() {
    say "copying $2"
    run rclone "$1" "$3" --exclude '_uploads/**' --transfers 16 --checkers 16 \
        --stats 30s --stats-one-line --stats-log-level NOTICE "$FROM/$V2/$2" "$TO/$V2/$2"
}
# Links change, and all have the same size. What a client has begun to push is no image yet.
copy_repositories() { transfer "$1" repositories --checksum; }
# Blobs never change.
copy_blobs() { transfer "$1" blobs --size-only; }

# Reads the blobs that were not read yet.
compare_with_digests() {
    rclone lsf --recursive --files-only "$TO/$V2/blobs" >/work/there
    if grep -vxF -f /work/compared /work/there >/work/new; then
        rclone hashsum sha256 --download --files-from-raw /work/new "$TO/$V2/blobs" |
            while read -r digest blob; do
                case $blob in
                    */"$digest"/data) ;;
                    *) refuse "$TO/$V2/blobs/$blob is not what its digest says: see what it is in $FROM" ;;
                esac
            done
    fi
    mv /work/there /work/compared
    say "$(wc -l </work/compared) blobs are what their digests say"
}
# An empty file would not do: to some a pattern of nothing is in every line.
echo nothing >/work/compared

# compare_with_source OPTION: every file of the source is there.
compare_with_source() {
    run rclone check $1 --download --exclude '_uploads/**' "$FROM/$V2/repositories" "$TO/$V2/repositories"
    run rclone check $1 --size-only "$FROM/$V2/blobs" "$TO/$V2/blobs"
}

# wait_for FILE, which hold.sh makes.
wait_for() {
    until [ -e "/work/$1" ]; do
        [ ! -e /work/given-up ] || exit 1
        [ ! -e /work/needless ] || exit 0
        run sleep 1
    done
}
wait_until_read_only() {
    : >/work/ready
    wait_for held
}

# A storage that images were moved from, or to, says so; what anybody else put there is not overwritten.
mark() { echo "$2" | rclone rcat "$1/.move"; }
check_that_nothing_is_lost_in() {
    case $(rclone cat "$1/.move" 2>/dev/null || true) in
        coming | left) return ;;
    esac
    if has_images "$1"; then
        refuse "the new storage has images already: choose one that has none"
    fi
}

move() {
    check_that_nothing_is_lost_in "$TO"
    mark "$TO" coming
    # Before the first push there is nothing.
    if has_images "$FROM"; then
        # A blob whose link is copied is there when blobs are.
        copy_repositories copy
        copy_blobs copy
        compare_with_digests
    fi
    wait_until_read_only
    if has_images "$FROM"; then
        copy_repositories sync
        copy_blobs sync
        compare_with_source ""
        compare_with_digests
    fi
    mark "$FROM" left
    mark "$TO" current
}

backup() {
    has_images "$FROM" || refuse "the registry has no images yet"
    copy_repositories copy
    copy_blobs copy
}

restore() {
    has_images "$FROM" || refuse "the backup has no images"
    wait_until_read_only
    # What is damaged is told by the comparison, when everything else is back.
    copy_blobs copy || say "some blobs cannot be copied, see above"
    copy_repositories copy
    compare_with_digests
    compare_with_source --one-way
}

[ -z "$HELD" ] || wait_for begun
"$MODE"
say "done"
