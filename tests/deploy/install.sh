#!/bin/sh
# Installs a package on a machine with systemd and lives with it for a while; each step says what
# it found, and the first that fails ends it. Called as: install.sh PACKAGE
set -eu
cd /

as_peer() {
  runuser -u meshpeer -- env HOME=/var/lib/meshpeer "$@"
}

echo "STEP install"
dpkg -i "$1"
systemctl is-active meshpeer
systemctl is-enabled meshpeer

echo "STEP readiness: it was said to be started once its API answers"
as_peer meshpeer status --json
systemctl show -p Type -p WatchdogUSec -p NoNewPrivileges meshpeer

echo "STEP secrets are its own"
stat -c '%a %U %n' /var/lib/meshpeer /var/lib/meshpeer/.local/share/meshpeer/keys

echo "STEP kill"
before=$(systemctl show -p MainPID --value meshpeer)
systemctl kill -s KILL meshpeer
until [ "$(systemctl show -p ActiveState --value meshpeer)" = active ] &&
  [ "$(systemctl show -p MainPID --value meshpeer)" != "$before" ]; do
  sleep 1
done
as_peer meshpeer id
systemctl show -p NRestarts meshpeer

echo "STEP faults in its journal"
if journalctl --no-pager -u meshpeer | grep -i traceback; then
  exit 1
fi

echo "STEP remove"
dpkg -r meshpeer
test ! -e /usr/lib/meshpeer
test ! -e /usr/bin/meshpeer
test -e /var/lib/meshpeer/.local/share/meshpeer/keys
test -z "$(pgrep -u meshpeer || true)"

echo "STEP purge"
dpkg -P meshpeer
test ! -e /var/lib/meshpeer
echo "STEP end"
