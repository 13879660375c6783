#!/usr/bin/env bash
# Installs ztrust-mail into an environment of its own, outside the checkout of the specs. A step of action.yml.
set -euo pipefail

environment=$RUNNER_TEMP/ztrust-mail
package=$INPUT_PACKAGE
constraints=()
if [ -z "$package" ]; then
    package="${GITHUB_ACTION_PATH}[html,postgresql]"
    constraints=(--constraint "$GITHUB_ACTION_PATH/constraints.txt")  # the versions that this version was tested with
fi
installed=$environment/installed
if [ ! -e "$installed" ] || [ "$(cat "$installed")" != "$package" ]; then  # an earlier step of the job may have done it
    python3 -I -m venv --clear "$environment"
    "$environment/bin/python" -I -m pip install --quiet --disable-pip-version-check ${constraints[@]+"${constraints[@]}"} -- "$package"
    printf '%s\n' "$package" >"$installed"
fi
"$environment/bin/ztrust-mail" --version
