#!/bin/sh
# Makes a node of a machine with systemd and two radios as a Raspberry Pi would at its first boot,
# and lives with it for a while. Each step says what it found; the first that fails ends it.
#     install.sh IMAGE-OF-A-BOOT-PARTITION
set -eu
cd /

step() {
  echo "STEP $1 (after $(cut -d. -f1 /proc/uptime) s)"
}

as_peer() {
  runuser -u meshpeer -- env HOME=/var/lib/meshpeer "$@"
}

kind_of() {
  iw dev "$1" info | sed -n 's/^[[:space:]]*type //p'
}

until_anew() { # UNIT FORMER-MAIN-PID: wait until it was started once more, and is ready
  until [ "$(systemctl show -p ActiveState --value "$1")" = active ] &&
    [ "$(systemctl show -p MainPID --value "$1")" != "$2" ]; do
    sleep 1
  done
}

step "first boot, as systemd runs it"
mkdir -p /boot/firmware /etc/NetworkManager /run/once /run/systemd/system
mount -t vfat -o loop "$1" /boot/firmware
cat /boot/firmware/cmdline.txt
SYSTEMD_PROC_CMDLINE="$(cat /boot/firmware/cmdline.txt)" \
  /lib/systemd/system-generators/systemd-run-generator /run/once /run/once /run/once
unit=$(find /run/once -name kernel-command-line.service)
grep -x SuccessAction=reboot "$unit"
grep -x FailureAction=reboot "$unit"
grep -v Action= "$unit" >/run/systemd/system/first.service # this machine boots only once
systemctl daemon-reload
systemctl start first.service || { cat /boot/firmware/meshpeer-log.txt; exit 1; }
cat /boot/firmware/meshpeer-log.txt
cat /boot/firmware/cmdline.txt
test ! -e /boot/firmware/meshpeer
cat /etc/NetworkManager/conf.d/90-meshpeer.conf
cat /etc/NetworkManager/system-connections/meshpeer-access-point.nmconnection
stat -c '%a %U %n' /etc/NetworkManager/system-connections/*
echo "$(stat -c '%a %U' /home/ann/.ssh/authorized_keys) $(cat /home/ann/.ssh/authorized_keys)"

step "what the next boot starts"
systemctl is-enabled meshpeer meshpeer-radio@wlan0
systemctl start meshpeer-radio@wlan0
test "$(kind_of wlan0)" = IBSS
iw dev wlan0 info
systemctl start meshpeer
systemctl is-active meshpeer meshpeer-radio@wlan0

step "readiness: it was said to be started once its API answers"
as_peer meshpeer status --json
systemctl show -p Type -p WatchdogUSec -p NoNewPrivileges meshpeer
echo "sockets on the cell: $(grep -c 88b5 /proc/net/packet)"

step "the radio has two capabilities and is not root"
radio=$(systemctl show -p MainPID --value meshpeer-radio@wlan0)
grep -E '^(CapEff|CapBnd)' "/proc/$radio/status"
stat -c '%U keeps the radio' "/proc/$radio"

step "secrets are its own"
stat -c '%a %U %n' /var/lib/meshpeer /var/lib/meshpeer/.local/share/meshpeer/keys

step "kill both"
before=$(systemctl show -p MainPID --value meshpeer)
kill -KILL "$before" "$radio"
until [ "$(kind_of wlan0)" = managed ]; do sleep 0.1; done
echo "wlan0 is as it was"
until_anew meshpeer-radio@wlan0 "$radio"
test "$(kind_of wlan0)" = IBSS
until_anew meshpeer "$before"
as_peer meshpeer id
systemctl show -p NRestarts meshpeer
echo "sockets on the cell: $(grep -c 88b5 /proc/net/packet)"

step "a stop puts the radio back"
systemctl stop meshpeer-radio@wlan0
test "$(kind_of wlan0)" = managed
test -z "$(ls /run/meshpeer-radio)"

step "faults in its journal"
if journalctl --no-pager -u meshpeer -u meshpeer-radio@wlan0 | grep -i traceback; then
  exit 1
fi

step "remove"
systemctl start meshpeer-radio@wlan0
dpkg -r meshpeer
test ! -e /usr/lib/meshpeer
test ! -e /usr/bin/meshpeer
test -e /var/lib/meshpeer/.local/share/meshpeer/keys
test -z "$(pgrep -u meshpeer || true)"
test "$(kind_of wlan0)" = managed
test -z "$(find /etc/systemd -name 'meshpeer*')"

step "purge"
dpkg -P meshpeer
test ! -e /var/lib/meshpeer
test -z "$(find /etc -name '*meshpeer*')"
step "end"
