package main

import (
	"fmt"

	"github.com/containerd/nri/pkg/api"
	"google.golang.org/protobuf/proto"
)

func samplePod(id string) *api.PodSandbox {
	return &api.PodSandbox{
		Id:        id,
		Name:      "pod-" + id,
		Uid:       "uid-" + id,
		Namespace: "default",
		Labels:    map[string]string{"app": "sample"},
		Linux:     &api.LinuxPodSandbox{CgroupParent: "/kubepods/" + id},
	}
}

// sampleContainer gives a container like those of an engine, whose encoding
// has at least size bytes.
func sampleContainer(id, pod string, size int) *api.Container {
	c := &api.Container{
		Id:           id,
		PodSandboxId: pod,
		Name:         "container-" + id,
		State:        api.ContainerState_CONTAINER_CREATED,
		Labels:       map[string]string{"app": "sample"},
		Annotations:  map[string]string{},
		Args:         []string{"/bin/server", "--config", "/etc/server.yaml"},
		Linux: &api.LinuxContainer{
			CgroupsPath: "/kubepods/" + pod + "/" + id,
			Namespaces:  []*api.LinuxNamespace{{Type: "pid"}, {Type: "ipc", Path: "/proc/1/ns/ipc"}},
			Resources: &api.LinuxResources{
				Memory: &api.LinuxMemory{Limit: api.Int64(int64(256 << 20))},
				Cpu:    &api.LinuxCPU{Shares: api.UInt64(uint64(512)), Cpus: "0-3"},
			},
		},
	}
	for n := 0; proto.Size(c) < size; n++ {
		switch n % 4 {
		case 0, 1:
			c.Env = append(c.Env, fmt.Sprintf("SERVICE_%04d_PORT_TCP_ADDR=10.96.%d.%d:8443", n, n/256, n%256))
		case 2:
			c.Mounts = append(c.Mounts, &api.Mount{
				Destination: fmt.Sprintf("/var/data/volume-%04d", n),
				Source:      fmt.Sprintf("/var/lib/kubelet/pods/%s/volumes/volume-%04d", pod, n),
				Type:        "bind",
				Options:     []string{"rbind", "rprivate", "rw"},
			})
		case 3:
			if n < 64 {
				c.Annotations[fmt.Sprintf("example.com/annotation-%04d", n)] = fmt.Sprintf("value of annotation %04d", n)
			}
		}
	}
	return c
}
