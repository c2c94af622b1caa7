package main

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
)

const pluginService = "nri.pkg.api.v1alpha1.Plugin"

type rawFlags struct {
	registerAfter, registrations int
}

// call is one method of the plugin service, with its messages.
type call struct {
	request, response func() proto.Message
	// dedicated: one of the nine that replaced StateChange. Old plugins lack them.
	dedicated bool
}

func messagesOf[Q, S any, PQ interface {
	*Q
	proto.Message
}, PS interface {
	*S
	proto.Message
}](dedicated bool) call {
	return call{
		request:   func() proto.Message { return PQ(new(Q)) },
		response:  func() proto.Message { return PS(new(S)) },
		dedicated: dedicated,
	}
}

var pluginCalls = map[string]call{
	"Configure":                   messagesOf[api.ConfigureRequest, api.ConfigureResponse](false),
	"Synchronize":                 messagesOf[api.SynchronizeRequest, api.SynchronizeResponse](false),
	"Shutdown":                    messagesOf[api.Empty, api.Empty](false),
	"RunPodSandbox":               messagesOf[api.RunPodSandboxRequest, api.RunPodSandboxResponse](true),
	"UpdatePodSandbox":            messagesOf[api.UpdatePodSandboxRequest, api.UpdatePodSandboxResponse](false),
	"PostUpdatePodSandbox":        messagesOf[api.PostUpdatePodSandboxRequest, api.PostUpdatePodSandboxResponse](true),
	"StopPodSandbox":              messagesOf[api.StopPodSandboxRequest, api.StopPodSandboxResponse](true),
	"RemovePodSandbox":            messagesOf[api.RemovePodSandboxRequest, api.RemovePodSandboxResponse](true),
	"CreateContainer":             messagesOf[api.CreateContainerRequest, api.CreateContainerResponse](false),
	"PostCreateContainer":         messagesOf[api.PostCreateContainerRequest, api.PostCreateContainerResponse](true),
	"StartContainer":              messagesOf[api.StartContainerRequest, api.StartContainerResponse](true),
	"PostStartContainer":          messagesOf[api.PostStartContainerRequest, api.PostStartContainerResponse](true),
	"UpdateContainer":             messagesOf[api.UpdateContainerRequest, api.UpdateContainerResponse](false),
	"PostUpdateContainer":         messagesOf[api.PostUpdateContainerRequest, api.PostUpdateContainerResponse](true),
	"StopContainer":               messagesOf[api.StopContainerRequest, api.StopContainerResponse](false),
	"RemoveContainer":             messagesOf[api.RemoveContainerRequest, api.RemoveContainerResponse](true),
	"StateChange":                 messagesOf[api.StateChangeEvent, api.Empty](false),
	"ValidateContainerAdjustment": messagesOf[api.ValidateContainerAdjustmentRequest, api.ValidateContainerAdjustmentResponse](false),
}

var runtimeCalls = map[string]call{
	"RegisterPlugin":   messagesOf[api.RegisterPluginRequest, api.Empty](false),
	"UpdateContainers": messagesOf[api.UpdateContainersRequest, api.UpdateContainersResponse](false),
}

// runRaw runs a plugin without the stub: whole responses, any event mask, any
// registration behaviour; in style old without the nine dedicated calls.
func runRaw(f pluginFlags, p *player) error {
	conn, err := connect(f.socket)
	if err != nil {
		return err
	}
	mux := multiplex.Multiplex(f.wrap(conn))
	listener, err := mux.Listen(multiplex.PluginServiceConn)
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(noteCall))
	if err != nil {
		return err
	}
	methods := map[string]ttrpc.Method{}
	for name, c := range pluginCalls {
		if f.style == "old" && c.dedicated {
			continue
		}
		methods[name] = rawMethod(p, name, c, f.script == "")
	}
	server.RegisterService(pluginService, &ttrpc.ServiceDesc{Methods: methods})

	trunk, err := mux.Open(multiplex.RuntimeServiceConn)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	client := ttrpc.NewClient(trunk, ttrpc.WithOnClose(func() { close(closed) }))
	runtime := api.NewRuntimeClient(client)
	p.close = func() { _ = mux.Close() }

	go func() { _ = server.Serve(context.Background(), listener) }()
	time.Sleep(time.Duration(f.raw.registerAfter) * time.Millisecond)
	for range f.raw.registrations {
		_, err := runtime.RegisterPlugin(context.Background(), &api.RegisterPluginRequest{
			PluginName: f.name,
			PluginIdx:  f.index,
		})
		out.print(result("registered", err, nil))
	}

	commands := pluginCommands{stdin: f.stdin, stop: p.close, update: func(updates []*api.ContainerUpdate) ([]*api.ContainerUpdate, error) {
		response, err := runtime.UpdateContainers(context.Background(), &api.UpdateContainersRequest{Update: updates})
		return response.GetFailed(), err
	}}
	go commands.run(f.stay)
	<-closed
	out.print(fields{"event": "closed"})
	return nil
}

func rawMethod(p *player, name string, c call, fromHost bool) ttrpc.Method {
	return func(ctx context.Context, unmarshal func(any) error) (any, error) {
		request := c.request()
		if err := unmarshal(request); err != nil {
			return nil, err
		}
		if configure, ok := request.(*api.ConfigureRequest); ok && fromHost && configure.Config != "" {
			if err := p.load([]byte(configure.Config)); err != nil {
				return nil, err
			}
		}
		received(ctx, name, fields{"request": message(request)})

		a, err := p.play(ctx, name, subjects(request)...)
		if err != nil {
			return nil, err
		}
		response := c.response()
		if len(a.Response) > 0 {
			return response, read(a.Response, response)
		}
		return response, fill(response, request, p, a)
	}
}

// subjects are the names and ids that an answer can be chosen by.
func subjects(request proto.Message) []string {
	var list []string
	if r, ok := request.(interface{ GetContainer() *api.Container }); ok {
		list = append(list, r.GetContainer().GetId(), r.GetContainer().GetName())
	}
	if r, ok := request.(interface{ GetPod() *api.PodSandbox }); ok {
		list = append(list, r.GetPod().GetId(), r.GetPod().GetName())
	}
	return list
}

// fill makes the usual response out of the parts of an answer.
func fill(response, request proto.Message, p *player, a *answer) error {
	list, err := readList[api.ContainerUpdate](a.Update)
	if err != nil {
		return err
	}
	switch r := response.(type) {
	case *api.ConfigureResponse:
		mask, err := p.script.mask()
		r.Events = int32(mask)
		return err
	case *api.SynchronizeResponse:
		r.Update = list
		r.More = request.(*api.SynchronizeRequest).More
	case *api.CreateContainerResponse:
		r.Update = list
		if len(a.Adjust) > 0 {
			r.Adjust = &api.ContainerAdjustment{}
			return read(a.Adjust, r.Adjust)
		}
	case *api.UpdateContainerResponse:
		r.Update = list
	case *api.StopContainerResponse:
		r.Update = list
	case *api.ValidateContainerAdjustmentResponse:
		r.Reject, r.Reason = a.Reject != "", a.Reject
	default:
		if len(list) > 0 || len(a.Adjust) > 0 {
			return fmt.Errorf("%T takes no updates", response)
		}
	}
	return nil
}
