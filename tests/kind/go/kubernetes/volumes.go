package main

// The volumes of a node: a folder for each claim whose pod the scheduler put
// here. A claim grows when it is asked to, as the folder has no bound of its
// own. The folder goes with the claim if the volume is to be deleted.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	storage "k8s.io/client-go/listers/storage/v1"
)

const (
	provisioner  = "quorate.test/folder"
	folders      = "/var/lib/quorate-volumes"
	chosenNode   = "volume.kubernetes.io/selected-node"
	chosenMaker  = "volume.kubernetes.io/storage-provisioner"
	providedBy   = "pv.kubernetes.io/provisioned-by"
	nodeHostname = "kubernetes.io/hostname"
)

type volumes struct {
	client  kubernetes.Interface
	node    string
	claims  listers.PersistentVolumeClaimLister
	volumes listers.PersistentVolumeLister
	classes storage.StorageClassLister
}

func newVolumes(client kubernetes.Interface, factory informers.SharedInformerFactory, node string) *volumes {
	return &volumes{
		client:  client,
		node:    node,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister(),
	}
}

// reconcile looks at every claim and volume: tests have tens of them.
func (v *volumes) reconcile(ctx context.Context) error {
	claims, err := v.claims.List(labels.Everything())
	for _, claim := range claims {
		if claim.Annotations[chosenMaker] != provisioner || claim.DeletionTimestamp != nil {
			continue
		}
		if claim.Spec.VolumeName == "" && claim.Annotations[chosenNode] == v.node {
			err = errors.Join(err, v.provide(ctx, claim))
		}
	}
	all, listed := v.volumes.List(labels.Everything())
	err = errors.Join(err, listed)
	for _, volume := range all {
		if volume.Annotations[providedBy] == provisioner && volume.Labels[nodeHostname] == v.node {
			err = errors.Join(err, v.attend(ctx, volume))
		}
	}
	return err
}

func (v *volumes) provide(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	class, err := v.classes.Get(*claim.Spec.StorageClassName)
	if err != nil {
		return err
	}
	name := "pvc-" + string(claim.UID)
	folder := filepath.Join(folders, fmt.Sprintf("%s_%s_%s", name, claim.Namespace, claim.Name))
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	// Whatever the umask: pods that are not root write here.
	if err := os.Chmod(folder, 0o777); err != nil {
		return err
	}
	kind := corev1.HostPathDirectory
	_, err = v.client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Labels:      map[string]string{nodeHostname: v.node},
			Annotations: map[string]string{providedBy: provisioner},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			StorageClassName:              class.Name,
			ClaimRef:                      &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: folder, Type: &kind}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: nodeHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{v.node}}},
			}}}},
		},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// attend removes a volume that its claim left, and grows one whose claim asks for more.
func (v *volumes) attend(ctx context.Context, volume *corev1.PersistentVolume) error {
	if volume.Status.Phase == corev1.VolumeReleased {
		if volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
			return nil
		}
		if err := os.RemoveAll(volume.Spec.HostPath.Path); err != nil {
			return err
		}
		err := v.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	if volume.Status.Phase != corev1.VolumeBound {
		return nil
	}
	claim, err := v.claims.PersistentVolumeClaims(volume.Spec.ClaimRef.Namespace).Get(volume.Spec.ClaimRef.Name)
	if err != nil || claim.UID != volume.Spec.ClaimRef.UID {
		return nil // The controller manager is about to release the volume.
	}
	return v.grow(ctx, volume, claim)
}

func (v *volumes) grow(ctx context.Context, volume *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) error {
	asked := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if has := volume.Spec.Capacity[corev1.ResourceStorage]; asked.Cmp(has) > 0 {
		larger := volume.DeepCopy()
		larger.Spec.Capacity[corev1.ResourceStorage] = asked
		if _, err := v.client.CoreV1().PersistentVolumes().Update(ctx, larger, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	if has := claim.Status.Capacity[corev1.ResourceStorage]; claim.Status.Phase == corev1.ClaimBound && asked.Cmp(has) > 0 {
		larger := claim.DeepCopy()
		larger.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: asked}
		_, err := v.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, larger, metav1.UpdateOptions{})
		return err
	}
	return nil
}
