#!/bin/sh
# A node in a mount namespace of its own: /etc is a copy, /run and /var/lib are empty. containerd and the gateway are real,
# and this file is what manages services, when it is called as `systemctl`.
#
# W: folder for everything; CONTAINERD: folder of the programs; NRI: our binary; MOVE: the script; HELLO: a plugin.
set -eu

stop() {
    [ -f "$W/$1.pid" ] || return 0
    pid=$(cat "$W/$1.pid")
    kill "$pid" 2>/dev/null || :
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    rm "$W/$1.pid"
}

until_there() {
    tries=0
    until [ -S "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || return 1
        sleep 0.1
    done
}

manage() {
    case $* in
    "restart containerd.service")
        stop containerd
        "$CONTAINERD/containerd" --config /etc/containerd/config.toml >>"$W/containerd.log" 2>&1 </dev/null &
        echo $! >"$W/containerd.pid"
        until_there /run/containerd/containerd.sock
        ;;
    "restart --no-block nri-gateway.service")
        "$NRI" gateway --config /etc/nri/gateway.toml >>"$W/gateway.log" 2>&1 </dev/null &
        echo $! >"$W/gateway.pid"
        ;;
    "is-active --quiet nri-gateway.service") grep -q '^ready ' "$W/gateway.log" ;;
    "disable --now nri-gateway.service") stop gateway ;;
    esac
}

if [ "${0##*/}" = systemctl ]; then
    manage "$@"
    exit
fi

PATH=$CONTAINERD:$PATH
export PATH
cp -a /etc "$W/etc"
mkdir -p "$W/etc/containerd" /opt
mount --bind "$W/etc" /etc
for place in /run /var/lib; do mount -t tmpfs none "$place"; done
cp "$W/config.toml" /etc/containerd/config.toml
mkdir -p "$W/plugins"
ln -s "$HELLO" "$W/plugins/10-hello"
cp -a /etc "$W/etc.before"
trap 'stop gateway; stop containerd' EXIT

manage restart containerd.service
until_there /var/run/nri/nri.sock
"$MOVE" --systemctl "$W/systemctl" --require
echo "gateway: $(grep '^ready ' "$W/gateway.log")"
echo "directory: $(stat -c %a /run/nri-engine)"
"$NRI" plugins
# Both are the same after an engine that is restarted.
manage restart containerd.service
tries=0
until [ "$(grep -c '00-nri-gateway.* connected and synchronized' "$W/containerd.log")" -eq 2 ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || exit 1
    sleep 0.1
done
"$MOVE" --systemctl "$W/systemctl" --require
"$MOVE" --systemctl "$W/systemctl" --roll-back
until_there /var/run/nri/nri.sock
diff -r --no-dereference /etc "$W/etc.before"
echo "as before"
