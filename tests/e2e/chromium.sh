#!/bin/sh
# Start Chromium without the two hidden pages that it draws its address bar's list with, in each
# window: nobody types there, and they cost as much processor time as the pages under test.
# Playwright has features of its own to switch off, and Chromium heeds only one such list.
for word; do
    shift
    case $word in
        --disable-features=*) word=$word,WebUIOmniboxPopup,WebUIOmniboxAimPopup ;;
    esac
    set -- "$@" "$word"
done
exec /usr/bin/chromium "$@"
