# Makes /etc/docker/certs.d hold the CA in the wanted folders and in no other folder of the same owner.
set -eu

verify() { echo "$digest  $1" | sha256sum -c - >/dev/null; }
ours() { [ "$(cat "$1/.owner" 2>/dev/null)" = "$owner" ]; }
foreign() { [ -e "$1/ca.crt" ] && ! ours "$1"; }

# $1: trust, or forget to want no folder. stdin: owner, SHA-256 of the CA, a line a folder, an empty line, the CA.
main() {
    if [ "$1" = trust ]; then check_runtime; fi
    umask 022
    mkdir -p /etc/docker/certs.d
    cd /etc/docker/certs.d

    IFS= read -r owner
    IFS= read -r digest
    wanted=
    while IFS= read -r folder && [ -n "$folder" ]; do
        wanted="$wanted$folder
"
    done
    [ "$1" = trust ] || wanted=

    staged=$(mktemp .ca.XXXXXX)
    trap 'rm -f "$staged"' EXIT
    cat >"$staged"
    chmod 0644 "$staged"

    verify "$staged"
    printf '%s' "$wanted" | while IFS= read -r folder; do
        if foreign "$folder" && ! cmp -s "$staged" "$folder/ca.crt"; then
            echo "$PWD/$folder/ca.crt is not ours and holds another certificate: move it away, then run again" >&2
            exit 1
        fi
    done
    printf '%s' "$wanted" | while IFS= read -r folder; do
        # Trusted by someone else's hand already: it serves as it is, and stays theirs.
        if ! foreign "$folder"; then
            mkdir -p "$folder"
            echo "$owner" >"$folder/.owner"
            cp "$staged" "$folder/.ca.new"
            sync "$folder/.ca.new"
            mv -f "$folder/.ca.new" "$folder/ca.crt"
            verify "$folder/ca.crt"
        fi
        echo "$PWD/$folder/ca.crt"
    done
    for mark in */.owner; do
        folder=${mark%/.owner}
        if ours "$folder" && ! printf '%s' "$wanted" | grep -Fqx -- "$folder"; then
            rm -f "$folder/ca.crt" "$folder/.ca.new" "$folder/.owner"
            rmdir "$folder" 2>/dev/null || true
        fi
    done
}
