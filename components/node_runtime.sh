# Functions that find out whether this node's container runtime reads /etc/docker/certs.d.

# Prints the folders in /proc of the node's processes of a name: those in containers are not the node's.
processes() {
    for process in /proc/[0-9]*; do
        name=
        { IFS= read -r name <"$process/comm"; } 2>/dev/null || true
        if [ "$name" = "$1" ] && [ "$(readlink "$process/ns/pid")" = "$(readlink /proc/self/ns/pid)" ]; then
            echo "$process"
        fi
    done
}

# Prints the configuration file that a containerd was started with.
configuration() {
    tr '\0' '\n' <"$1/cmdline" | {
        file=/etc/containerd/config.toml
        while IFS= read -r word; do
            case $word in
            -c | -config | --config) IFS= read -r file ;;
            -c=* | -config=* | --config=*) file=${word#*=} ;;
            esac
        done
        echo "$file"
    }
}

# Prints version and settings of a containerd.
describe() {
    "$1/exe" --version
    if [ -e "$2" ]; then "$1/exe" --config "$2" config dump; else "$1/exe" config default; fi
}

# Prints the section of a configuration file that has config_path: it depends on the version of the file.
section() {
    case $(sed -n '/^ *version *=/{s/[^0-9]//g;p;q;}' "$1" 2>/dev/null) in
    '' | 1) echo 'plugins.cri.registry' ;;
    2) echo 'plugins."io.containerd.grpc.v1.cri".registry' ;;
    *) echo 'plugins."io.containerd.cri.v1.images".registry' ;;
    esac
}

# Fails, and prints what to do, if a containerd that serves the node does not read /etc/docker/certs.d.
# CRI-O, docker and podman always read it.
check_runtime() {
    if [ -z "$(processes crio)$(processes cri-dockerd)" ]; then
        for process in $(processes containerd); do
            file=$(configuration "$process")
            describe "$process" "$file" 2>/dev/null | tr "'" '"' | awk \
                -v node="$(uname -n)" -v certs=/etc/docker/certs.d -v file="$file" -v section="$(section "$file")" '
                NR == 1 {
                    sub(/^v/, "", $3)
                    split($3, part, /[^0-9]/)
                    version = part[1] * 10000 + part[2] * 100 + part[3]
                }
                /^disabled_plugins = .*"(cri|io\.containerd\.grpc\.v1\.cri|io\.containerd\.cri\.v1\.images)"/ { off = 1 }
                /^ *\[/ {
                    at = $0
                    gsub(/[][" ]/, "", at)
                    sub(/^plugins\.io\.containerd\.(grpc\.v1\.cri|cri\.v1\.images)/, "cri", at)
                }
                at == "cri.registry" && $1 == "config_path" { on = 1; folders = $3; gsub(/"/, "", folders) }
                at ~ /^cri\.registry\.mirrors\./ { mirrors = 1 }
                at ~ /^cri\.registry\.configs\..*\.tls$/ { tls = 1 }
                # What makes containerd pull images itself, and not its transfer service.
                at ~ /^cri\.registry\.(mirrors|configs|auths)\./ { itself = 1 }
                at == "cri" && / (use_local_image_pull|discard_unpacked_layers|image_pull_with_sync_fs) = true$/ { itself = 1 }
                at == "cri" && / disable_snapshot_annotations = false$/ { itself = 1 }
                at == "cri" && $1 == "max_concurrent_downloads" && $3 != 3 { itself = 1 }
                END {
                    if (off || !on) exit
                    if (folders == "" && !mirrors && version >= 20202) folders = "/etc/containerd/certs.d:" certs
                    count = split(folders, folder, ":")
                    # The transfer service takes a list for one folder.
                    lists = itself || version < 20100
                    for (each in folder) {
                        sub(/\/+$/, "", folder[each])
                        if (folder[each] == certs && (lists || count == 1)) exit
                    }
                    reads = !count ? "no folder" : count > 1 && !lists ? folders ", a list that it takes for one folder" : folders
                    path = lists && count ? folders ":" certs : certs
                    hint = mirrors || tls ? " in place of its mirrors and configs" : count == 1 && !lists ? ", move there what " folders " has" : ""
                    printf "%s: containerd reads CA files from %s, but they belong in %s: set `config_path = \"%s\"` " \
                        "below [%s] in %s%s, restart containerd once, then run again\n", \
                        node, reads, certs, path, section, file, hint
                    exit 1
                }' >&2
        done
    fi
}
