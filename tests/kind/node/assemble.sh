#!/bin/sh
# assemble.sh ROOT PROGRAMS KIND VERSION: makes of Debian's userland a node as kind's own image builder does.
#   ROOT      the userland, changed in place
#   PROGRAMS  containerd, its shim and ctr, kubernetes
#   KIND      kind's module, for images/base/files
#   VERSION   of Kubernetes, as v1.2.3
set -eu
root=$1 programs=$2 kind=$3 version=$4
here=$(cd "$(dirname "$0")" && pwd)

# What images/base/Dockerfile of kind does.
cp -r "$kind"/images/base/files/. "$root"/
chmod -R u+w "$root"/kind "$root"/etc "$root"/usr/local/bin
chmod 0755 "$root"/usr/local/bin/* "$root"/kind "$root"/kind/bin "$root"/kind/bin/*
find "$root"/etc/systemd "$root"/etc/containerd "$root"/etc/sysctl.d "$root"/etc/default/kubelet "$root"/etc/crictl.yaml \
  -type f -exec chmod 0644 {} +
rm -f "$root"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
  "$root"/lib/systemd/system/multi-user.target.wants/* "$root"/lib/systemd/system/local-fs.target.wants/* \
  "$root"/lib/systemd/system/sockets.target.wants/*udev* "$root"/lib/systemd/system/sockets.target.wants/*initctl* \
  "$root"/lib/systemd/system/basic.target.wants/*
rm -rf "$root"/etc/systemd/system/*.wants
wants=$root/etc/systemd/system/multi-user.target.wants
mkdir -p "$wants" "$root"/etc/kubernetes/manifests "$root"/opt/cni/bin "$root"/var/lib/containerd "$root"/kind/manifests
echo ReadKMsg=no >> "$root"/etc/systemd/journald.conf
for service in kubelet containerd undo-mount-hacks; do ln -sf /etc/systemd/system/$service.service "$wants"/; done
ln -sf /dev/null "$root"/etc/systemd/system/systemd-binfmt.service
for plugin in host-local loopback ptp portmap bridge; do ln -f "$root"/usr/lib/cni/$plugin "$root"/opt/cni/bin/$plugin; done
install -m 755 "$programs"/containerd "$programs"/containerd-shim-runc-v2 "$programs"/ctr "$root"/usr/local/bin/
install -m 755 "$here"/crictl "$root"/usr/local/bin/
"$programs"/ctr oci spec > "$root"/tmp/spec.json
chroot "$root" jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
  /tmp/spec.json > "$root"/etc/containerd/cri-base.json
rm "$root"/tmp/spec.json

# What `kind build node-image` does.
install -m 755 "$programs"/kubernetes "$root"/usr/bin/kubernetes
for name in kubelet kubeadm kubectl; do ln -f "$root"/usr/bin/kubernetes "$root"/usr/bin/$name; done
printf %s "$version" > "$root"/kind/version
cp "$here"/daemon.yaml "$root"/kind/manifests/default-cni.yaml
cp "$here"/storage.yaml "$root"/kind/manifests/default-storage.yaml
