package main

// The pods' network of a node: a CNI configuration for the node's pod range, one
// route for each other node's range, and masquerading for what leaves the pods'
// network. It enforces no NetworkPolicy.

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	listers "k8s.io/client-go/listers/core/v1"
)

const (
	configuration = "/etc/cni/net.d/10-quorate.conflist"
	plugins       = `{"cniVersion": "1.0.0", "name": "quorate", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state",
    "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": %q}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
`
	masquerade = `table ip quorate
delete table ip quorate
table ip quorate {
  chain leaving {
    type nat hook postrouting priority 100
    ip saddr %[1]s ip daddr != %[1]s masquerade
  }
}
`
)

func connect(nodes listers.NodeLister, self string) error {
	all, err := nodes.List(labels.Everything())
	for _, node := range all {
		address := internal(node)
		switch {
		case address == nil || node.Spec.PodCIDR == "":
		case address.String() == self:
			err = errors.Join(err, configure(node.Spec.PodCIDR))
		default:
			err = errors.Join(err, route(node.Spec.PodCIDR, address))
		}
	}
	return err
}

func internal(node *corev1.Node) net.IP {
	for _, address := range node.Status.Addresses {
		if ip := net.ParseIP(address.Address).To4(); address.Type == corev1.NodeInternalIP && ip != nil {
			return ip
		}
	}
	return nil
}

// configure writes the file once: from then on the kubelet says that the node's network is ready.
func configure(pods string) error {
	if _, err := os.Stat(configuration); err == nil {
		return nil
	}
	if err := os.WriteFile(configuration+".new", fmt.Appendf(nil, plugins, pods), 0o644); err != nil {
		return err
	}
	return os.Rename(configuration+".new", configuration)
}

func route(pods string, via net.IP) error {
	_, destination, err := net.ParseCIDR(pods)
	if err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{Dst: destination, Gw: via})
}

func nft(rules string) error {
	command := exec.Command("nft", "-f", "-")
	command.Stdin = bytes.NewBufferString(rules)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}
