#!/bin/sh
# Process 1 of the microVM that scripts/microvm.mjs boots: finds the disk, mounts it, runs one process in it, says its
# status on the second serial port, and switches the machine off. /settings, which microvm.mjs writes, sets
#   ATTACH         virtio (a virtio-blk disk) or nbd (the kernel's own client)
#   MOUNT_OPTIONS  of the root file system
#   EXPORT         the export's name, for nbd
#   HOST, PORT     where the server is, as the guest sees it, for nbd
#   IS_INTERACTIVE yes or no
# and the function run_process. Nothing here is set -e: the machine is switched off whatever happens.
/bin/busybox --install -s /bin
export PATH=/bin

finish() {
  cd /
  # What the process has left behind holds the disk.
  kill -KILL -1
  sync
  for place in dev/shm dev/pts dev sys proc ""; do umount "/disk/$place" 2>/dev/null; done
  [ "$ATTACH" = nbd ] && nbd-client -d /dev/nbd0 >/dev/null 2>&1
  # Said last: what was written is on the disk by now.
  echo "status $1" >/dev/ttyS1
  poweroff -f
}

fail() {
  echo "microvm: $1"
  finish 125
}

mkdir -p /proc /sys /dev /disk
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
# Bytes pass the lines as they are.
stty -F /dev/ttyS0 -onlcr
stty -F /dev/ttyS1 -onlcr

# shellcheck source=/dev/null
. /settings
for module in /modules/*.ko; do
  if [ -e "$module" ]; then insmod "$module" || fail "cannot load $module"; fi
done

case $ATTACH in
  virtio)
    device=/dev/vda
    ;;
  nbd)
    device=/dev/nbd0
    interface=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)
    ip link set lo up
    ip link set "$interface" up
    ip addr add "${HOST%.*}.15/24" dev "$interface"
    said=$(nbd-client "$HOST" "$PORT" "$device" -N "$EXPORT" 2>&1) || fail "nbd-client: $said"
    ;;
esac
tries=0
until [ -b "$device" ] && [ "$(cat "/sys/class/block/${device#/dev/}/size")" -gt 0 ]; do
  tries=$((tries + 1))
  [ "$tries" -le 100 ] || fail "$device: the disk has not come"
  sleep 0.1
done
mount -t ext4 -o "$MOUNT_OPTIONS" "$device" /disk || fail "$device: it cannot be mounted"

# What a process expects of a system. A read-only image has to have the directories.
for name in proc sys dev; do
  [ -d "/disk/$name" ] || mkdir "/disk/$name" 2>/dev/null
done
[ -d /disk/proc ] && mount -t proc -o nosuid,nodev,noexec proc /disk/proc
[ -d /disk/sys ] && mount -t sysfs -o ro,nosuid,nodev,noexec sys /disk/sys
if [ -d /disk/dev ]; then
  mount -t devtmpfs -o nosuid dev /disk/dev
  mkdir -p /disk/dev/pts /disk/dev/shm
  mount -t devpts -o nosuid,noexec,mode=620,ptmxmode=666 devpts /disk/dev/pts
  mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /disk/dev/shm
  ln -s /proc/self/fd /disk/dev/fd
  for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%%:*}" "/disk/dev/${number#*:}"; done
fi

if [ "$IS_INTERACTIVE" = yes ]; then
  run_process </dev/ttyS0 >/dev/ttyS0 2>&1
else
  run_process </dev/null >/dev/ttyS0 2>&1
fi
finish $?
