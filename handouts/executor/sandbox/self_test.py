"""Whether the sandbox holds what it should, tried inside of it."""

from __future__ import annotations

from pathlib import Path

CHECKED = 42  # the exit status if all is well

# Its arguments: the file with the token, nvcc, the scratch folder, Python, and the driver's
# library, which the loader is asked for as a program would; "" where there is or need be none.
SELF_TEST = f"""\
if [ -r "$3" ]; then
    echo "$3, with the jobs of others, can be read in the sandbox; choose another --scratch-dir"
    exit 1
fi
if [ -r "$1" ]; then
    echo "$1 can be read in the sandbox; move it out of the folders that are shown there"
    exit 1
fi
[ "$(grep -c : /proc/net/dev)" = 1 ] || {{ echo "there is a network in it"; exit 1; }}
[ "$(id -u)" != 0 ] || {{ echo "programs would be root in it"; exit 1; }}
[ -z "$2" ] || "$2" --version >/dev/null || {{
    echo "$2 does not run in it; name the toolkit's own nvcc with --nvcc," \\
        "and further folders it needs with --sandbox-bind"
    exit 1
}}
[ -z "$4" ] || "$4" -c "" || {{
    echo "$4 does not run in it; name one with --python that needs nothing outside of its prefix"
    exit 1
}}
[ -z "$5" ] || [ -z "$(LD_PRELOAD="$5" /bin/true 2>&1)" ] || {{
    echo "$5, the driver's library, is not found in it, and no CUDA program would start:" \\
        "install it and run ldconfig, or start the executor with" \\
        "LD_LIBRARY_PATH=/the/folder/that/holds/it"
    exit 1
}}
exit {CHECKED}
"""


def why_denied() -> str:
    """What to do about a kernel that keeps bubblewrap from making namespaces."""
    if kernel_setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor keeps it from making namespaces: install the profile in docs/gpu-hosts.md, "
            "or: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if kernel_setting("kernel/unprivileged_userns_clone") == "0":
        return (
            "this kernel keeps users from making namespaces: "
            "sysctl kernel.unprivileged_userns_clone=1"
        )
    if kernel_setting("user/max_user_namespaces") == "0":
        return "this kernel allows no user namespaces: sysctl user.max_user_namespaces=10000"
    return "in a container, allow it to make namespaces, or run the executor outside of it"


def kernel_setting(name: str) -> str:
    """Its value; "" if there is none of that name."""
    try:
        return Path("/proc/sys/" + name).read_text().strip()
    except OSError:
        return ""
