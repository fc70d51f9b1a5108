# Collects the registry's garbage while nobody can push. Comes after read_only.sh. Environment: see garbage_collection.py.
#
# The Job that deletes is the lock too: only who made it may touch the registry. It is the registry's own pod with
# another command, so image, user, volume and node are the same. A run that is killed is tried again, and first takes
# over what it left.
take_over() {
    holder=$(kubectl get job "$LOCK" --ignore-not-found --output='jsonpath={.metadata.labels.holder}')
    [ "$holder" ] || return 0
    active=$(kubectl get job "$holder" --ignore-not-found --output='jsonpath={.status.active}')
    if [ "$holder" != "$RUN" ] && [ "$active" ]; then
        refuse "job $holder is at it: wait until it ends, or delete it"
    fi
    say "job $holder was killed: taking over"
    remove_lock "$holder"
}

# hold FLAGS: makes the Job, still suspended; FLAGS are the registry's.
hold() {
    printf '{"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": %s}}}' \
        "$(deployment '{.spec.template.spec}')" |
        kubectl patch --filename=- --local --patch="$JOB" --output=json |
        kubectl label --filename=- --local "holder=$RUN" --output=json |
        kubectl set env --filename=- --local "FLAGS=$1" --output=json |
        kubectl create --filename=-
    trap release EXIT
}

remove_lock() { kubectl delete job --selector="holder=$1" --cascade=foreground; }

# sweep LOG: lets the Job go, and waits for its end and its log.
sweep() {
    kubectl patch job "$LOCK" --patch='{"spec": {"suspend": false}}'
    waited=0
    until [ "$waited" = ended ]; do
        run sleep 2
        case $(kubectl get job "$LOCK" --output='jsonpath={.status.ready}:{.status.succeeded}{.status.failed}') in
            *:1) waited=ended ;;
            1:) ;;
            *) waited=$((waited + 2)) ;;
        esac
        [ "$waited" != 600 ] || refuse "the pod of job $LOCK does not start"
    done
    kubectl logs "job/$LOCK" | tee "$1"
    # A registry that was never pushed to has no such folder.
    [ "$(kubectl get job "$LOCK" --output='jsonpath={.status.succeeded}')" ] ||
        grep -q 'Path not found: .*/v2/repositories$' "$1" || refuse "the registry's garbage-collect failed, see above"
}

# size LOG: bytes of those of its blobs that are there; nothing where the images are in no folder.
size() {
    [ "$FOLDER" ] || return 0
    cd "$FOLDER/docker/registry/v2/blobs"
    sed -n 's|^blob eligible for deletion: \([^:]*\):\(..\)\(.*\)|\1/\2/\2\3/data|p' "$1" |
        xargs -r stat -c %s 2>/dev/null | awk '{ sum += $1 } END { printf "%.0f", sum }'
}

# report DONE LOG [BYTES]
report() { say "$1 $(grep -c '^blob eligible' "$2") blobs${3:+, $3 bytes}"; }

# First the Job goes, so that nothing deletes any more when the registry is writable. Its new pods know no blob yet.
release() {
    status=$?
    trap '' TERM EXIT
    if ! remove_lock "$RUN" || ! make_writable; then
        say "deployment $DEPLOYMENT may still be read-only: the next attempt makes it writable"
        status=2
    fi
    exit "$status"
}

# The CronJob, and after it the rights of this run, go only when the run is over. kubectl makes Jobs that do not ask for it.
kubectl patch job "$RUN" --type=json \
    --patch='[{"op": "add", "path": "/metadata/ownerReferences/0/blockOwnerDeletion", "value": true}]'
check_that_nobody_else_maintains
take_over
hold "--dry-run $FLAGS"
sweep /tmp/dry-run
if ! grep -q '^\(blob\|manifest\) eligible' /tmp/dry-run; then
    say "nothing to free"
    exit
fi
before=$(size /tmp/dry-run)
if [ "$DRY_RUN" = true ]; then
    report "would free" /tmp/dry-run "$before"
    exit
fi
# Between the two another run can be quicker, and what is not held is not released.
trap - EXIT
remove_lock "$RUN"
hold "$FLAGS"
make_read_only
sweep /tmp/sweep
report freed /tmp/sweep "${before:+$((before - $(size /tmp/dry-run)))}"
