package main

import (
	"context"
	"net"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
)

var ctx = context.Background()

// adjusting answers with adjustments and updates.
const adjusting = `{"answers": {
  "CreateContainer": [{
    "adjust": {
      "annotations": {"example.com/a": "1", "-example.com/b": ""},
      "mounts": [{"destination": "/data", "source": "/srv", "type": "bind", "options": ["ro"]}, {"destination": "-/old"}],
      "env": [{"key": "A", "value": "1"}, {"key": "-B"}],
      "args": ["", "/bin/sh"],
      "linux": {
        "resources": {"memory": {"limit": {"value": "1000000"}}, "cpu": {"shares": {}, "cpus": "0"}},
        "oomScoreAdj": {"value": "-5"},
        "seccompPolicy": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": {"value": 1}}]}
      }
    },
    "update": [{"containerId": "c0", "linux": {"resources": {"cpu": {"shares": {"value": "7"}}}}, "ignoreFailure": true}]
  }],
  "UpdateContainer": [{"update": [{"containerId": "c1", "linux": {"resources": {"memory": {"limit": {"value": "2000000"}}}}}]}],
  "StopContainer": [{"update": [{"containerId": "c0", "linux": {"resources": {"cpu": {"quota": {"value": "-1"}}}}}]}]
}}`

const failing = `{"answers": {
  "CreateContainer": [{"error": "the plugin says no"}],
  "StopContainer": [{"error": "busy", "code": 14}]
}}`

func sessions() []*session {
	pods := []*api.PodSandbox{samplePod("p0"), samplePod("p1")}
	var containers []*api.Container
	for _, id := range []string{"c0", "c1", "c2"} {
		containers = append(containers, sampleContainer(id, "p0", 0))
	}
	return []*session{
		{name: "register", about: "RegisterPlugin, Configure, Synchronize with nothing in it"},
		{
			name: "sync", about: "Synchronize with two pods and three containers, the plugin asks for an update",
			script: `{"answers": {"Synchronize": [{"update": [{"containerId": "c0", "linux": {"resources": {"cpu": {"shares": {"value": "7"}}}}}]}]}}`,
			pods:   pods, containers: containers,
		},
		{
			name: "sync split", about: "Synchronize in three parts, with a failure policy in Configure",
			flags: pluginFlags{failRequest: true, keepConnected: true}, by: func(c net.Conn) error { return splitSync(c, pods, containers) },
		},
		{name: "events", about: "every call, with adjustments and updates", script: adjusting, host: everything},
		{
			name: "events old", about: "every call, StateChange for the nine that the plugin answers with Unimplemented",
			flags: pluginFlags{style: "old"}, host: everything,
		},
		{
			name: "create 11k", about: "CreateContainer with a container of 11 KiB", script: `{"events": ["CreateContainer"],` + adjusting[1:],
			host: func(a *adaptation.Adaptation, _ func(string)) { create(a, sampleContainer("c1", "p0", 11<<10)) },
		},
		{
			name: "errors", about: "a plugin's errors, without and with a status code", script: failing,
			host: func(a *adaptation.Adaptation, _ func(string)) {
				create(a, sampleContainer("c1", "p0", 0))
				_, _ = a.StopContainer(ctx, &api.StopContainerRequest{Pod: samplePod("p0"), Container: sampleContainer("c1", "p0", 0)})
			},
		},
		{
			name: "rejection", about: "a validator that rejects", script: `{"answers": {"ValidateContainerAdjustment": [{"reject": "not like this"}]}}`,
			host: func(a *adaptation.Adaptation, _ func(string)) { create(a, sampleContainer("c1", "p0", 0)) },
		},
		{name: "update", about: "an unsolicited update, the host reports one failure", host: unsolicited},
		{name: "update refused", about: "an unsolicited update, the host answers with an error", host: unsolicited, failure: "not now"},
	}
}

func create(a *adaptation.Adaptation, c *api.Container) {
	_, _ = a.CreateContainer(ctx, &api.CreateContainerRequest{Pod: samplePod("p0"), Container: c})
}

// everything makes every call, in the order of a pod's life.
func everything(a *adaptation.Adaptation, _ func(string)) {
	pod, c := samplePod("p0"), func() *api.Container { return sampleContainer("c1", "p0", 0) }
	resources := &api.LinuxResources{Cpu: &api.LinuxCPU{Shares: api.UInt64(uint64(9))}}
	_ = a.RunPodSandbox(ctx, &api.RunPodSandboxRequest{Pod: pod})
	_, _ = a.UpdatePodSandbox(ctx, &api.UpdatePodSandboxRequest{Pod: pod, OverheadLinuxResources: resources, LinuxResources: resources})
	_ = a.PostUpdatePodSandbox(ctx, &api.PostUpdatePodSandboxRequest{Pod: pod})
	create(a, c())
	_ = a.PostCreateContainer(ctx, &api.PostCreateContainerRequest{Pod: pod, Container: c()})
	_ = a.StartContainer(ctx, &api.StartContainerRequest{Pod: pod, Container: c()})
	_ = a.PostStartContainer(ctx, &api.PostStartContainerRequest{Pod: pod, Container: c()})
	_, _ = a.UpdateContainer(ctx, &api.UpdateContainerRequest{Pod: pod, Container: c(), LinuxResources: resources})
	_ = a.PostUpdateContainer(ctx, &api.PostUpdateContainerRequest{Pod: pod, Container: c()})
	_, _ = a.StopContainer(ctx, &api.StopContainerRequest{Pod: pod, Container: c()})
	_ = a.RemoveContainer(ctx, &api.RemoveContainerRequest{Pod: pod, Container: c()})
	_ = a.StopPodSandbox(ctx, &api.StopPodSandboxRequest{Pod: pod})
	_ = a.RemovePodSandbox(ctx, &api.RemovePodSandboxRequest{Pod: pod})
}

// unsolicited lets the plugin ask for updates. A call afterwards shows that the answer has come.
func unsolicited(a *adaptation.Adaptation, tell func(string)) {
	tell(`{"do":"update","update":[{"containerId":"c0","linux":{"resources":{"cpu":{"shares":{"value":"7"}}}}},{"containerId":"c1","ignoreFailure":true}]}`)
	time.Sleep(300 * time.Millisecond)
	_ = a.RunPodSandbox(ctx, &api.RunPodSandboxRequest{Pod: samplePod("p0")})
}

func splitSync(conn net.Conn, pods []*api.PodSandbox, containers []*api.Container) error {
	plugin, end, err := directHost(conn)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := plugin.Configure(ctx, &api.ConfigureRequest{RuntimeName: "golden-host", RuntimeVersion: "v1.2.3", NRIVersion: "v0.12.5", RegistrationTimeout: 5000, RequestTimeout: 2000}); err != nil {
		return err
	}
	for _, part := range []*api.SynchronizeRequest{
		{Pods: pods[:1], Containers: containers[:2], More: true},
		{Pods: pods[1:], More: true},
		{Containers: containers[2:]},
	} {
		if _, err := plugin.Synchronize(ctx, part); err != nil {
			return err
		}
	}
	_, err = plugin.Shutdown(ctx, &api.Empty{})
	return err
}
