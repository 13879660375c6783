#!/usr/bin/env bash
# Runs one command, and writes its reports and outputs. A step of action.yml, whose last step ends with the exit status.
set -euo pipefail

# Appends the lines of a text, except empty ones, to the array `words`.
add_lines() {
    local line
    while IFS= read -r line; do
        if [ -n "$line" ]; then words+=("$line"); fi
    done <<<"${1//$'\r'/}"
}

# Appends an option with its value to the array `words`, unless the value is empty.
add_option() {
    if [ -n "$2" ]; then words+=("$1=$2"); fi
}

folder=$(mktemp -d "$RUNNER_TEMP/ztrust-mail-reports-XXXXXX")
words=("$INPUT_COMMAND")
case $INPUT_COMMAND in
validate) ;;
plan) words+=("--out=$folder/plan.json") ;;
drift) add_option --fail-on "$INPUT_FAIL_ON" ;;
apply)
    words+=(--yes)
    add_option --plan "$INPUT_PLAN"
    add_option --expect-digest "$INPUT_EXPECT_DIGEST"
    ;;
*)
    echo "::error title=ztrust-mail::the input command must be validate, plan, drift or apply"
    echo "exit-status=2" >>"$GITHUB_OUTPUT"
    exit 0
    ;;
esac
if [ "$INPUT_COMMAND" != validate ]; then
    add_option --server "$INPUT_SERVER"
    add_option --config "$INPUT_CONFIG"
fi
for format in markdown json sarif github; do
    words+=("--report=$format=$folder/ztrust-mail.$format")
done
add_lines "$INPUT_ARGS"
words+=(--)
add_lines "$INPUT_SPEC"

status=0
"$RUNNER_TEMP/ztrust-mail/bin/ztrust-mail" "${words[@]}" </dev/null || status=$?
echo "exit-status=$status" >>"$GITHUB_OUTPUT"

if [ -s "$folder/plan.json" ]; then
    digest=$(python3 -I -c 'import json, sys; print(json.load(open(sys.argv[1]))["digest"])' "$folder/plan.json")
    { echo "plan=$folder/plan.json"; echo "digest=$digest"; } >>"$GITHUB_OUTPUT"
    report=$(<"$folder/ztrust-mail.markdown")
    report=${report//"$folder/"/}  # who reads the report gets the plan as an artifact, in a folder of their own
    { head -n 2 <<<"$report"; printf '\nDigest of the saved plan: %s\n' "$digest"; tail -n +3 <<<"$report"; } \
        >"$folder/ztrust-mail.markdown"
fi
if [ -s "$folder/ztrust-mail.github" ]; then cat "$folder/ztrust-mail.github"; fi
if [ -s "$folder/ztrust-mail.markdown" ]; then cat "$folder/ztrust-mail.markdown" >>"$GITHUB_STEP_SUMMARY"; fi
for format in markdown json sarif; do
    if [ -s "$folder/ztrust-mail.$format" ]; then echo "$format=$folder/ztrust-mail.$format" >>"$GITHUB_OUTPUT"; fi
done
