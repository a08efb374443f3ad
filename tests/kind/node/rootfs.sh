#!/bin/sh
# rootfs.sh FOLDER MIRROR DEBS: the node's Debian userland (systemd 252 of bookworm still boots on cgroup v1).
# Runs in a mount namespace of its own, so that what debootstrap mounts goes with it.
set -eu
debootstrap --variant=minbase --cache-dir="$3" --include=systemd,systemd-sysv,dbus,conntrack,iptables,nftables,iproute2,\
ethtool,util-linux,mount,kmod,libseccomp2,ca-certificates,curl,jq,procps,runc,containernetworking-plugins,busybox-static \
  bookworm "$1" "$2"
rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* \
  "$1"/usr/share/doc "$1"/usr/share/man "$1"/usr/share/locale "$1"/usr/share/info
