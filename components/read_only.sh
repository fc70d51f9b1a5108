# Makes the registry read-only, and writable again. Scripts that do so come after this one. Environment: see maintenance.py.
set -eu
trap 'exit 143' TERM

READ_ONLY=REGISTRY_STORAGE_MAINTENANCE_READONLY

say() { echo "$(echo "$MODE" | tr - ' '): $*"; }
refuse() {
    say "$*"
    exit 1
}
# A signal ends the shell's wait at once; of a program in the foreground it awaits the end.
run() { "$@" & wait "$!"; }
deployment() { kubectl get deployment "$DEPLOYMENT" --output="jsonpath=$1"; }
patch_pod() { kubectl patch deployment "$DEPLOYMENT" --field-manager="$MODE" --type="$1" --patch="$2"; }
await_pods() { run kubectl rollout status "deployment/$DEPLOYMENT" --timeout=10m; }

# Who made the registry read-only; nobody if it is writable.
holder_of_registry() {
    variable=".spec.template.spec.containers[?(@.name==\"registry\")].env[?(@.name==\"$READ_ONLY\")]"
    case $(deployment "{.spec.template.metadata.labels.maintenance}:{$variable.value}") in
        *:) echo nobody ;;
        "$MODE":*) echo "$MODE" ;;
        *) echo other ;;
    esac
}

check_that_nobody_else_maintains() {
    [ "$(holder_of_registry)" != other ] ||
        refuse "deployment $DEPLOYMENT is read-only already: let whoever made it so make it writable first"
}

make_read_only() {
    check_that_nobody_else_maintains
    # At the end of the list: Pulumi compares lists by position, and would take a first element for a change of all.
    [ "$(holder_of_registry)" = "$MODE" ] || patch_pod json '[
        {"op": "test", "path": "/spec/template/spec/containers/0/name", "value": "registry"},
        {"op": "add", "path": "/spec/template/metadata/labels/maintenance", "value": "'"$MODE"'"},
        {"op": "add", "path": "/spec/template/spec/containers/0/env/-",
         "value": {"name": "'"$READ_ONLY"'", "value": "{\"enabled\": true}"}}]'
    await_pods
    # A pod that is stopped still finishes its pushes.
    run kubectl wait pod --selector="$SELECTOR,maintenance!=$MODE" --for=delete --timeout=10m
}

make_writable() {
    [ "$(holder_of_registry)" = "$MODE" ] || return 0
    patch_pod strategic '{"spec": {"template": {
        "metadata": {"labels": {"maintenance": null}},
        "spec": {"containers": [{"name": "registry", "env": [{"name": "'"$READ_ONLY"'", "$patch": "delete"}]}]}}}}'
    await_pods
}
