# Keeps the registry read-only while copy.sh, in the container beside it, needs it so, and makes it writable again. After
# a move that succeeded it stays read-only until it has its new storage. Comes after read_only.sh. Environment: see
# copying.py. /work is shared with copy.sh.

# The copy's exit code; nothing while it runs.
copied() {
    kubectl get pod "$POD" \
        --output='jsonpath={.status.containerStatuses[?(@.name=="copy")].state.terminated.exitCode}'
}
# What cannot be found out ends the attempt: to guess could lose images.
exists() {
    found=$(kubectl get deployment "$DEPLOYMENT" --ignore-not-found --output=name) || exit 2
    [ "$found" ]
}
has_moved() {
    [ "$MODE" = move ] && exists || return 1
    claim=$(deployment '{.spec.template.spec.volumes[?(@.name=="storage")].persistentVolumeClaim.claimName}') || exit 2
    [ "$claim" = "$CLAIM" ]
}
release() {
    status=$?
    trap '' TERM EXIT
    : >/work/given-up
    # The first run of a stack has no registry yet.
    if exists && ! make_writable; then
        say "deployment $DEPLOYMENT may still be read-only: the next attempt makes it writable"
        status=2
    fi
    exit "$status"
}

if has_moved; then
    say "the registry has its new storage already"
    : >/work/needless
    exit
fi
trap release EXIT
: >/work/begun
until [ -e /work/ready ] || [ "$(copied)" ]; do run sleep 1; done
if [ -e /work/ready ]; then
    if exists; then make_read_only; fi
    : >/work/held
fi
until code=$(copied) && [ "$code" ]; do run sleep 1; done
[ "$code" = 0 ] || exit 1
[ "$MODE" != move ] || trap - EXIT
