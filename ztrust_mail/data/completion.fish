# Completion of ztrust-mail for fish 3.1 or newer.

function _ztrust_mail_completion
    set -l program (commandline -opc)[1]
    set -l token (commandline -ct)
    set -l typed (commandline -cp | string collect)
    for line in (COMP_LINE=$typed _ZTRUST_MAIL_COMPLETE=fish_complete $program 2>/dev/null)
        set -l part (string split -m 1 , -- $line)
        switch $part[1]
            case spec file dir
                set -l prefix (string length -- $part[2])
                set -l files (complete -C "'' "(string sub -s (math $prefix + 1) -- $token))
                set -l folders (string match -r '^.*/$' -- $files)
                switch $part[1]
                    case spec
                        set files (string match -r '^.*\.(?:yaml|yml|json)$' -- $files) $folders $files
                    case dir
                        set files $folders
                end
                set -q files[1]; and printf '%s\n' $part[2]$files
            case '*'
                printf '%s\n' $part[2]
        end
    end
end

complete -c ztrust-mail -f -k -a '(_ztrust_mail_completion)'
