package main

// The pod network of a node: a CNI configuration for the node's pod range, one
// route for each other node's range, and masquerading for what leaves the pods'
// network. It enforces no NetworkPolicy.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
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
	// The API server's service address answers only once kube-proxy wrote its rules.
	answersWithin = time.Minute
	// Nodes come and go seldom; a look each second costs nothing as the list is a local cache.
	lookEvery = time.Second
)

func network() *cobra.Command {
	return &cobra.Command{Use: "network", SilenceUsage: true, RunE: func(*cobra.Command, []string) error {
		self, pods := os.Getenv("HOST_IP"), os.Getenv("POD_SUBNET")
		if err := nft(fmt.Sprintf(masquerade, pods)); err != nil {
			return err
		}
		nodes, err := watchNodes(context.Background())
		if err != nil {
			return err
		}
		for ; ; time.Sleep(lookEvery) {
			if err := reconcile(nodes, self); err != nil {
				fmt.Fprintln(os.Stderr, "network:", err)
			}
		}
	}}
}

func watchNodes(ctx context.Context) (listers.NodeLister, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		_, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
		if err == nil {
			break
		}
		if time.Since(began) > answersWithin {
			return nil, err
		}
	}
	factory := informers.NewSharedInformerFactory(client, time.Minute)
	nodes := factory.Core().V1().Nodes().Lister()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return nodes, nil
}

func reconcile(nodes listers.NodeLister, self string) error {
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
