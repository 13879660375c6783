#compdef ztrust-mail
# Completion of ztrust-mail for zsh.

_ztrust_mail_completion() {
    local -a response described plain prefixes
    local kind value help
    response=("${(@f)$(
        COMP_LINE="${words[1,CURRENT]}" _ZTRUST_MAIL_COMPLETE=zsh_complete ${${(Q)words[1]}/#\~/$HOME} 2>/dev/null
    )}")
    for kind value help in ${response}; do
        case $kind in
            spec | file | dir)
                [[ $value == _ ]] || compset -P "${(b)value}"
                case $kind in
                    spec) _files -g '*.(yaml|yml|json)(-.)' ;;
                    file) _files ;;
                    dir) _files -/ ;;
                esac ;;
            prefix) prefixes+=("$value") ;;
            plain) [[ $help == _ ]] && plain+=("$value") || described+=("${value//:/\\:}:$help") ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#prefixes )) && compadd -U -S '' -V unsorted -a prefixes
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _ztrust_mail_completion "$@"
else
    compdef _ztrust_mail_completion ztrust-mail
fi
