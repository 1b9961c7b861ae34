# What the scripts beside this folder share. Sourced, never run.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${TOLLGATE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/tollgate}

say() { printf '\n== %s\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Prints the opening comment of the calling script, which is its help.
print_help() {
    sed -n '2,/^[^#]/ { /^#/ { s/^# \{0,1\}//; p } }' "$1"
}

has() { command -v "$1" >/dev/null 2>&1; }

# Prints how to become root without being asked for a password; fails where there is no way.
root_prefix() {
    if [ "$(id -u)" -eq 0 ]; then
        echo env
    elif has sudo && sudo -n true 2>/dev/null; then
        echo sudo env
    else
        return 1
    fi
}

# install_packages PURPOSE PACKAGE...: from Debian's packages, where this user may.
# Returns 1 where they can't be had, having said what is missing and why it is needed.
install_packages() {
    local purpose=$1
    shift
    local root
    if ! has apt-get; then
        printf 'missing: %s (for %s); this system has no apt-get, install them by hand\n' "$*" "$purpose" >&2
        return 1
    fi
    if ! root=$(root_prefix); then
        printf 'missing: %s (for %s); neither root nor sudo, so run: apt-get install %s\n' "$*" "$purpose" "$*" >&2
        return 1
    fi
    say "installing Debian's packages for $purpose: $*"
    # RUNLEVEL=1 keeps the packages of servers from starting them.
    local install=(apt-get install -y -qq --no-install-recommends "$@")
    # shellcheck disable=SC2086 # the prefix is a command and its argument
    $root DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 "${install[@]}" >/dev/null 2>&1 && return 0
    # An old package list names versions that are gone.
    # shellcheck disable=SC2086
    $root DEBIAN_FRONTEND=noninteractive apt-get update -qq || return 1
    # shellcheck disable=SC2086
    $root DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 "${install[@]}" >/dev/null
}

# python_environment NAME REQUIREMENTS: prints the folder of a virtual environment with exactly what the file
# pins, made once for each content of the file.
python_environment() {
    local name=$1 requirements=$2 digest folder
    digest=$(sha256sum "$requirements" | cut -c1-12)
    folder=$cache/venv/$name-$digest
    if [ ! -e "$folder/.complete" ]; then
        has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null \
            || install_packages "the Python environment of $name" python3 python3-venv >&2 || return 1
        say "making the Python environment $folder" >&2
        rm -rf "$folder"
        python3 -m venv "$folder" >&2 || return 1
        "$folder/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2 || return 1
        touch "$folder/.complete"
    fi
    printf '%s\n' "$folder"
}

# node_environment NAME FOLDER: prints the folder of an installation of exactly what FOLDER's package-lock.json
# pins, made once for each content of that file. No package's own scripts are run.
node_environment() {
    local name=$1 source=$2 digest folder
    # Debian's packages are no help: those of its stable release may be too old.
    if ! { has node && has npm && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; }; then
        printf 'missing: node and npm (for %s); install Node.js 20 or newer\n' "$name" >&2
        return 1
    fi
    digest=$(sha256sum "$source/package-lock.json" | cut -c1-12)
    folder=$cache/node/$name-$digest
    if [ ! -e "$folder/.complete" ]; then
        say "installing Node's packages in $folder" >&2
        rm -rf "$folder"
        mkdir -p "$folder"
        cp "$source/package.json" "$source/package-lock.json" "$folder/"
        (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error) >&2 \
            || return 1
        touch "$folder/.complete"
    fi
    printf '%s\n' "$folder"
}

# user_databases: PostgreSQL, MariaDB and OpenLDAP with its tools, none of them started.
user_databases() {
    local missing=()
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    [ -e /usr/sbin/mariadbd ] && [ -e /usr/bin/mariadb ] || missing+=(mariadb-server)
    [ -e /usr/sbin/slapd ] || missing+=(slapd)
    [ -e /usr/bin/ldapdelete ] || missing+=(ldap-utils)
    [ "${#missing[@]}" -eq 0 ] || install_packages 'the tests of users' "${missing[@]}"
}
