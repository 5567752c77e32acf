# shellcheck shell=sh
# What a script sources that explains itself at its head: with --help or -h as first word it prints that and ends.
case ${1:-} in
-h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
