# bash completion of Freshet's daemons and tools. Keys, values and commands come from the program's own --help, when they
# are asked for: nothing here needs to follow them.

# The daemon's keys, one a line; one marked + is a secret, which can be given as a file too.
_freshet_keys()
{
        "$1" --help 2>/dev/null | awk '/^[a-z][a-z0-9_]*( [*+])* = / { print $1; if ($2 == "+" || $3 == "+") print $1 "_file" }'
}

# The words a key can have, for keys that have words.
_freshet_values()
{
        "$1" --help 2>/dev/null | awk -v key="$2" '
                /^[a-z][a-z0-9_]*( [*+])* = / { at = ($1 == key); next }
                at && sub(/^[ \t]+one of /, "") { gsub(/\|/, "\n"); print; exit }
                at && /^[ \t]+(true or false)/ { print "true\nfalse"; exit }'
}

_freshet_daemon()
{
        local program=$1 current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
        COMPREPLY=()
        # --set key=value: bash cuts words at "=", so the key stands two words before its value.
        if [[ $previous == = || $current == = ]]; then
                local key=$previous
                [[ $previous == = ]] && key=${COMP_WORDS[COMP_CWORD - 2]}
                [[ $current == = ]] && current=
                mapfile -t COMPREPLY < <(compgen -W "$(_freshet_values "$program" "$key")" -- "$current")
                return
        fi
        case $previous in
        --config)
                compopt -o filenames
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
                ;;
        --set)
                compopt -o nospace
                mapfile -t COMPREPLY < <(compgen -S = -W "$(_freshet_keys "$program")" -- "$current")
                ;;
        *)
                mapfile -t COMPREPLY < <(compgen -W "--config --set -n --healthcheck --help --version" -- "$current")
                ;;
        esac
}

# A tool tells its commands as {a,b,c} in its usage or one a line after "positional arguments:", and its options as words that
# begin with a dash.
_freshet_commands()
{
        awk '/^positional arguments:/ { at = 1; next } /^[^ ]/ { at = 0 } at && /^    [a-z]/ { print $1 }
             match($0, /\{[a-z][a-z,-]*\}/) { list = substr($0, RSTART + 1, RLENGTH - 2); gsub(/,/, "\n", list); print list }'
}

_freshet_tool()
{
        local program=$1 current=${COMP_WORDS[COMP_CWORD]} command='' word help
        for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
                if [[ $word != -* ]]; then
                        command=$word
                        break
                fi
        done
        help=$("$program" ${command:+"$command"} --help 2>/dev/null)
        COMPREPLY=()
        if [[ $current == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(grep -oE -- '(^|[[:space:],[])--?[a-z][a-z-]*' <<<"$help" |
                        grep -oE -- '--?[a-z][a-z-]*' | sort -u)" -- "$current")
        elif [[ -z $command ]]; then
                mapfile -t COMPREPLY < <(compgen -W "$(_freshet_commands <<<"$help" | sort -u)" -- "$current")
        else
                compopt -o default
        fi
}

complete -F _freshet_daemon ingestd transcoderd originD edged
complete -F _freshet_tool freshet freshet-token freshet-certs
