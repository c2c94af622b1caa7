package main

import (
	"context"
	"encoding/json"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// command is one line on stdin.
type command struct {
	Do        string          `json:"do"`
	Pod       string          `json:"pod"`       // id of a sandbox
	Container string          `json:"container"` // id of a container
	Config    json.RawMessage `json:"config"`    // of the pod or container, as CRI has it
	Resources json.RawMessage `json:"resources"` // LinuxContainerResources
	Handler   string          `json:"handler"`   // runtime handler
	Command   []string        `json:"command"`
	Timeout   int64           `json:"timeout"` // seconds: exec, stop
	Image     string          `json:"image"`
}

type results map[string]any

var commands = map[string]func(context.Context, *client, *command) (results, error){
	"version":      version,
	"imagepresent": imagePresent,
	"runp":         runPod,
	"create":       create,
	"start":        start,
	"exec":         exec,
	"update":       update,
	"updatepod":    updatePod,
	"stop":         stop,
	"rm":           remove,
	"stopp":        stopPod,
	"rmp":          removePod,
	"ps":           list,
	"inspect":      inspect,
}

func version(ctx context.Context, c *client, _ *command) (results, error) {
	r, err := c.Version(ctx, &cri.VersionRequest{})
	return results{"name": r.GetRuntimeName(), "version": r.GetRuntimeVersion()}, err
}

func imagePresent(ctx context.Context, c *client, cmd *command) (results, error) {
	r, err := c.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: cmd.Image}})
	return results{"present": r.GetImage() != nil, "image": r.GetImage().GetId()}, err
}

func runPod(ctx context.Context, c *client, cmd *command) (results, error) {
	config := &cri.PodSandboxConfig{}
	if err := read(cmd.Config, config); err != nil {
		return nil, err
	}
	r, err := c.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config, RuntimeHandler: cmd.Handler})
	if err != nil {
		return nil, err
	}
	c.pods[r.PodSandboxId] = config
	return results{"pod": r.PodSandboxId}, nil
}

func create(ctx context.Context, c *client, cmd *command) (results, error) {
	config := &cri.ContainerConfig{}
	if err := read(cmd.Config, config); err != nil {
		return nil, err
	}
	r, err := c.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId:  cmd.Pod,
		Config:        config,
		SandboxConfig: c.pods[cmd.Pod],
	})
	return results{"container": r.GetContainerId()}, err
}

func start(ctx context.Context, c *client, cmd *command) (results, error) {
	_, err := c.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: cmd.Container})
	return nil, err
}

func exec(ctx context.Context, c *client, cmd *command) (results, error) {
	r, err := c.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: cmd.Container, Cmd: cmd.Command, Timeout: cmd.Timeout})
	return results{"stdout": string(r.GetStdout()), "stderr": string(r.GetStderr()), "exit": r.GetExitCode()}, err
}

func update(ctx context.Context, c *client, cmd *command) (results, error) {
	resources := &cri.LinuxContainerResources{}
	if err := read(cmd.Resources, resources); err != nil {
		return nil, err
	}
	_, err := c.UpdateContainerResources(ctx, &cri.UpdateContainerResourcesRequest{ContainerId: cmd.Container, Linux: resources})
	return nil, err
}

func updatePod(ctx context.Context, c *client, cmd *command) (results, error) {
	resources := &cri.LinuxContainerResources{}
	if err := read(cmd.Resources, resources); err != nil {
		return nil, err
	}
	_, err := c.UpdatePodSandboxResources(ctx, &cri.UpdatePodSandboxResourcesRequest{PodSandboxId: cmd.Pod, Resources: resources})
	return nil, err
}

func stop(ctx context.Context, c *client, cmd *command) (results, error) {
	_, err := c.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: cmd.Container, Timeout: cmd.Timeout})
	return nil, err
}

func remove(ctx context.Context, c *client, cmd *command) (results, error) {
	_, err := c.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: cmd.Container})
	return nil, err
}

func stopPod(ctx context.Context, c *client, cmd *command) (results, error) {
	_, err := c.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: cmd.Pod})
	return nil, err
}

func removePod(ctx context.Context, c *client, cmd *command) (results, error) {
	_, err := c.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: cmd.Pod})
	return nil, err
}

func list(ctx context.Context, c *client, _ *command) (results, error) {
	pods, err := c.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return nil, err
	}
	containers, err := c.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return nil, err
	}
	podList, containerList := []json.RawMessage{}, []json.RawMessage{}
	for _, p := range pods.Items {
		podList = append(podList, message(p))
	}
	for _, item := range containers.Containers {
		containerList = append(containerList, message(item))
	}
	return results{"pods": podList, "containers": containerList}, nil
}

func inspect(ctx context.Context, c *client, cmd *command) (results, error) {
	r, err := c.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: cmd.Container, Verbose: true})
	if err != nil {
		return nil, err
	}
	line := results{"status": message(r.Status)}
	if info := r.Info["info"]; json.Valid([]byte(info)) {
		line["info"] = json.RawMessage(info)
	}
	return line, nil
}
