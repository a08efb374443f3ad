package main

// The daemon that runs on every node: its pods' network and its volumes.

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// The API server's service address answers only once kube-proxy wrote its rules.
	answersWithin = time.Minute
	// Nodes come and go seldom; a look each second costs nothing as the list is a local cache.
	lookEvery = time.Second
)

func nodeDaemon() *cobra.Command {
	return &cobra.Command{Use: "node-daemon", SilenceUsage: true, RunE: func(*cobra.Command, []string) error {
		ctx, address, pods := context.Background(), os.Getenv("HOST_IP"), os.Getenv("POD_SUBNET")
		if err := nft(fmt.Sprintf(masquerade, pods)); err != nil {
			return err
		}
		client, err := reach(ctx)
		if err != nil {
			return err
		}
		factory := informers.NewSharedInformerFactory(client, time.Minute)
		nodes, volumes := factory.Core().V1().Nodes().Lister(), newVolumes(client, factory, os.Getenv("NODE_NAME"))
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
		for ; ; time.Sleep(lookEvery) {
			if err := connect(nodes, address); err != nil {
				fmt.Fprintln(os.Stderr, "network:", err)
			}
			if err := volumes.reconcile(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "volumes:", err)
			}
		}
	}}
}

func reach(ctx context.Context) (kubernetes.Interface, error) {
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
		if err == nil || time.Since(began) > answersWithin {
			return client, err
		}
	}
}
