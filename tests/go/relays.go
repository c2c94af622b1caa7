package main

import (
	"context"
	"encoding/json"

	"github.com/containerd/nri/pkg/adaptation"
	"google.golang.org/protobuf/proto"
)

type relay func(ctx context.Context, a *adaptation.Adaptation, request json.RawMessage) (proto.Message, error)

// relays are the calls of the adaptation by name.
var relays = map[string]relay{
	"RunPodSandbox":        notify((*adaptation.Adaptation).RunPodSandbox),
	"UpdatePodSandbox":     ask((*adaptation.Adaptation).UpdatePodSandbox),
	"PostUpdatePodSandbox": notify((*adaptation.Adaptation).PostUpdatePodSandbox),
	"StopPodSandbox":       notify((*adaptation.Adaptation).StopPodSandbox),
	"RemovePodSandbox":     notify((*adaptation.Adaptation).RemovePodSandbox),
	"CreateContainer":      ask((*adaptation.Adaptation).CreateContainer),
	"PostCreateContainer":  notify((*adaptation.Adaptation).PostCreateContainer),
	"StartContainer":       notify((*adaptation.Adaptation).StartContainer),
	"PostStartContainer":   notify((*adaptation.Adaptation).PostStartContainer),
	"UpdateContainer":      ask((*adaptation.Adaptation).UpdateContainer),
	"PostUpdateContainer":  notify((*adaptation.Adaptation).PostUpdateContainer),
	"StopContainer":        ask((*adaptation.Adaptation).StopContainer),
	"RemoveContainer":      notify((*adaptation.Adaptation).RemoveContainer),
}

// ask relays a request that has an answer.
func ask[Q, S any, PQ interface {
	*Q
	proto.Message
}, PS interface {
	*S
	proto.Message
}](f func(*adaptation.Adaptation, context.Context, PQ) (PS, error)) relay {
	return func(ctx context.Context, a *adaptation.Adaptation, text json.RawMessage) (proto.Message, error) {
		request := PQ(new(Q))
		if err := read(text, request); err != nil {
			return nil, err
		}
		response, err := f(a, ctx, request)
		if err != nil {
			return nil, err
		}
		return response, nil
	}
}

// notify relays an event that has none.
func notify[Q any, PQ interface {
	*Q
	proto.Message
}](f func(*adaptation.Adaptation, context.Context, PQ) error) relay {
	return func(ctx context.Context, a *adaptation.Adaptation, text json.RawMessage) (proto.Message, error) {
		request := PQ(new(Q))
		if err := read(text, request); err != nil {
			return nil, err
		}
		return nil, f(a, ctx, request)
	}
}
