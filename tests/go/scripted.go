package main

import (
	"context"
	"errors"

	"github.com/containerd/nri/pkg/api"
)

// scripted is a plugin for the stub that handles every event.
type scripted struct {
	player   *player
	fromHost bool
}

func (s *scripted) Configure(ctx context.Context, config, runtime, version string) (api.EventMask, error) {
	if s.fromHost && config != "" {
		if err := s.player.load([]byte(config)); err != nil {
			return 0, err
		}
	}
	received(ctx, "Configure", fields{"config": config, "runtime": runtime, "version": version})
	if _, err := s.player.play(ctx, "Configure"); err != nil {
		return 0, err
	}
	return s.player.script.mask()
}

func (s *script) mask() (api.EventMask, error) {
	if s.Mask != nil {
		return api.EventMask(*s.Mask), nil
	}
	if s.Events == nil {
		return api.ValidEvents, nil
	}
	return api.ParseEventMask(s.Events...)
}

func (s *scripted) Synchronize(ctx context.Context, pods []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	received(ctx, "Synchronize", fields{"pods": messages(pods), "containers": messages(containers)})
	a, err := s.player.play(ctx, "Synchronize")
	return updates(a, err)
}

func (s *scripted) Shutdown(ctx context.Context) {
	received(ctx, "Shutdown", fields{})
	_, _ = s.player.play(ctx, "Shutdown")
}

func (s *scripted) pod(ctx context.Context, event string, pod *api.PodSandbox) error {
	received(ctx, event, fields{"pod": message(pod)})
	_, err := s.player.play(ctx, event, pod.GetId(), pod.GetName())
	return err
}

func (s *scripted) container(ctx context.Context, event string, pod *api.PodSandbox, container *api.Container, f fields) (*answer, error) {
	if f == nil {
		f = fields{}
	}
	f["pod"], f["container"] = message(pod), message(container)
	received(ctx, event, f)
	return s.player.play(ctx, event, container.GetId(), container.GetName(), pod.GetId(), pod.GetName())
}

func (s *scripted) RunPodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return s.pod(ctx, "RunPodSandbox", pod)
}

func (s *scripted) UpdatePodSandbox(ctx context.Context, pod *api.PodSandbox, overhead, resources *api.LinuxResources) error {
	received(ctx, "UpdatePodSandbox", fields{
		"pod":       message(pod),
		"overhead":  message(overhead),
		"resources": message(resources),
	})
	_, err := s.player.play(ctx, "UpdatePodSandbox", pod.GetId(), pod.GetName())
	return err
}

func (s *scripted) PostUpdatePodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return s.pod(ctx, "PostUpdatePodSandbox", pod)
}

func (s *scripted) StopPodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return s.pod(ctx, "StopPodSandbox", pod)
}

func (s *scripted) RemovePodSandbox(ctx context.Context, pod *api.PodSandbox) error {
	return s.pod(ctx, "RemovePodSandbox", pod)
}

func (s *scripted) CreateContainer(ctx context.Context, pod *api.PodSandbox, container *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	a, err := s.container(ctx, "CreateContainer", pod, container, nil)
	list, err := updates(a, err)
	if err != nil || len(a.Adjust) == 0 {
		return nil, list, err
	}
	adjust := &api.ContainerAdjustment{}
	return adjust, list, read(a.Adjust, adjust)
}

func (s *scripted) PostCreateContainer(ctx context.Context, pod *api.PodSandbox, container *api.Container) error {
	_, err := s.container(ctx, "PostCreateContainer", pod, container, nil)
	return err
}

func (s *scripted) StartContainer(ctx context.Context, pod *api.PodSandbox, container *api.Container) error {
	_, err := s.container(ctx, "StartContainer", pod, container, nil)
	return err
}

func (s *scripted) PostStartContainer(ctx context.Context, pod *api.PodSandbox, container *api.Container) error {
	_, err := s.container(ctx, "PostStartContainer", pod, container, nil)
	return err
}

func (s *scripted) UpdateContainer(ctx context.Context, pod *api.PodSandbox, container *api.Container, resources *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	a, err := s.container(ctx, "UpdateContainer", pod, container, fields{"resources": message(resources)})
	return updates(a, err)
}

func (s *scripted) PostUpdateContainer(ctx context.Context, pod *api.PodSandbox, container *api.Container) error {
	_, err := s.container(ctx, "PostUpdateContainer", pod, container, nil)
	return err
}

func (s *scripted) StopContainer(ctx context.Context, pod *api.PodSandbox, container *api.Container) ([]*api.ContainerUpdate, error) {
	a, err := s.container(ctx, "StopContainer", pod, container, nil)
	return updates(a, err)
}

func (s *scripted) RemoveContainer(ctx context.Context, pod *api.PodSandbox, container *api.Container) error {
	_, err := s.container(ctx, "RemoveContainer", pod, container, nil)
	return err
}

func (s *scripted) ValidateContainerAdjustment(ctx context.Context, request *api.ValidateContainerAdjustmentRequest) error {
	received(ctx, "ValidateContainerAdjustment", fields{"request": message(request)})
	container, pod := request.GetContainer(), request.GetPod()
	a, err := s.player.play(ctx, "ValidateContainerAdjustment", container.GetId(), container.GetName(), pod.GetId(), pod.GetName())
	if err == nil && a.Reject != "" {
		return errors.New(a.Reject)
	}
	return err
}

func updates(a *answer, err error) ([]*api.ContainerUpdate, error) {
	if err != nil {
		return nil, err
	}
	return readList[api.ContainerUpdate](a.Update)
}
