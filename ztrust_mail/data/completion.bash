# Completion of ztrust-mail for bash 4.4 or newer.

_ztrust_mail_completion() {
    local line kind value
    COMPREPLY=()
    while IFS= read -r line; do
        kind=${line%%,*} value=${line#*,}
        case $kind in
            spec)
                compopt -o filenames
                mapfile -t COMPREPLY < <(
                    for suffix in yaml yml json; do compgen -f -X "!*.$suffix" -- "$2"; done
                    compgen -d -- "$2"
                )
                [[ ${#COMPREPLY[@]} -gt 0 ]] || compopt -o default ;;
            file) compopt -o filenames -o default ;;
            dir) compopt -o dirnames ;;
            prefix) compopt -o nospace; COMPREPLY+=("$value") ;;
            *) COMPREPLY+=("$value") ;;
        esac
    done < <(
        COMP_LINE=${COMP_LINE:0:COMP_POINT} COMP_WORD=$2 _ZTRUST_MAIL_COMPLETE=bash_complete \
            "${1/#\~/$HOME}" 2>/dev/null
    )
}

complete -o nosort -F _ztrust_mail_completion ztrust-mail
