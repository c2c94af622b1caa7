package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/adaptation/builtin"
	"github.com/containerd/nri/pkg/api"
	"google.golang.org/protobuf/proto"
)

// observer is the built-in validator that learns the owners.
const observer = "99-oracle-observer"

// oracleCase is one line of input. Resources are those of an update.
type oracleCase struct {
	Event     string          `json:"event"` // create (default), update, stop
	Pod       json.RawMessage `json:"pod"`
	Container json.RawMessage `json:"container"`
	Resources json.RawMessage `json:"resources"`
	Answers   []*oracleAnswer `json:"answers"`
	Seen      bool            `json:"seen"` // also print what each plugin was sent
}

type oracleAnswer struct {
	Plugin string            `json:"plugin"`
	Adjust json.RawMessage   `json:"adjust"`
	Update []json.RawMessage `json:"update"`
	Evict  []json.RawMessage `json:"evict"`
	Error  string            `json:"error"`
	// Reject makes the plugin a validator: "" admits, anything else rejects.
	Reject *string `json:"reject"`

	adjust *api.ContainerAdjustment
	update []*api.ContainerUpdate
	evict  []*api.ContainerEviction
}

// oracle answers each line with what the reference makes of it.
func oracle(args []string) error {
	if len(args) > 0 && args[0] == "generate" {
		return eachLine(os.Stdin, func(line []byte) error {
			out.print(guarded(func() fields { return generated(line) }))
			return nil
		})
	}
	o := &merger{adaptations: map[string]*adaptation.Adaptation{}}
	return eachLine(os.Stdin, func(line []byte) error {
		out.print(guarded(func() fields { return o.merge(line) }))
		return nil
	})
}

// guarded turns a panic of the reference into a line.
func guarded(f func() fields) (line fields) {
	defer func() {
		if reason := recover(); reason != nil {
			line = fields{"panic": fmt.Sprint(reason)}
		}
	}()
	return f()
}

// merger keeps one adaptation for each list of plugins, since starting one is slow.
type merger struct {
	adaptations map[string]*adaptation.Adaptation

	current  map[string]*oracleAnswer
	seen     fields
	observed *api.ValidateContainerAdjustmentRequest
}

func (o *merger) merge(line []byte) fields {
	var c oracleCase
	if err := json.Unmarshal(line, &c); err != nil {
		return fields{"invalid": err.Error()}
	}
	o.current, o.seen, o.observed = map[string]*oracleAnswer{}, fields{}, nil
	for _, a := range c.Answers {
		if err := a.read(); err != nil {
			return fields{"invalid": err.Error()}
		}
		o.current[a.Plugin] = a
	}
	a, err := o.adaptation(c.Answers)
	if err != nil {
		return fields{"invalid": err.Error()}
	}
	f, err := o.relay(a, c)
	if err != nil {
		// The adaptation may hold its lock after a panic only, so an error keeps it.
		f = fields{"error": err.Error()}
	}
	if c.Seen {
		f["seen"] = o.seen
	}
	return f
}

func (o *merger) relay(a *adaptation.Adaptation, c oracleCase) (fields, error) {
	pod, container, resources := &api.PodSandbox{}, &api.Container{}, &api.LinuxResources{}
	if err := errors.Join(read(c.Pod, pod), read(c.Container, container), read(c.Resources, resources)); err != nil {
		return nil, err
	}
	ctx := context.Background()
	switch c.Event {
	case "", "create":
		response, err := a.CreateContainer(ctx, &api.CreateContainerRequest{Pod: pod, Container: container})
		if err != nil {
			return nil, err
		}
		return fields{
			"adjust": message(response.Adjust),
			"update": messages(response.Update),
			"evict":  messages(response.Evict),
			"owners": message(o.observed.GetOwners()),
		}, nil
	case "update":
		if len(c.Resources) == 0 {
			resources = nil
		}
		response, err := a.UpdateContainer(ctx, &api.UpdateContainerRequest{Pod: pod, Container: container, LinuxResources: resources})
		if err != nil {
			return nil, err
		}
		return fields{"update": messages(response.Update), "evict": messages(response.Evict)}, nil
	case "stop":
		response, err := a.StopContainer(ctx, &api.StopContainerRequest{Pod: pod, Container: container})
		if err != nil {
			return nil, err
		}
		return fields{"update": messages(response.Update)}, nil
	}
	return nil, fmt.Errorf("unknown event %q", c.Event)
}

func (a *oracleAnswer) read() error {
	if len(a.Adjust) > 0 && string(a.Adjust) != "null" {
		a.adjust = &api.ContainerAdjustment{}
		if err := read(a.Adjust, a.adjust); err != nil {
			return err
		}
	}
	var err error
	if a.update, err = readList[api.ContainerUpdate](a.Update); err != nil {
		return err
	}
	a.evict, err = readList[api.ContainerEviction](a.Evict)
	return err
}

// adaptation gives the one that has these plugins, built in.
func (o *merger) adaptation(answers []*oracleAnswer) (*adaptation.Adaptation, error) {
	var key strings.Builder
	for _, a := range answers {
		fmt.Fprintf(&key, "%s %v\n", a.Plugin, a.Reject != nil)
	}
	if a := o.adaptations[key.String()]; a != nil {
		return a, nil
	}
	var plugins []*builtin.BuiltinPlugin
	for _, a := range answers {
		p, err := o.builtin(a.Plugin, a.Reject != nil)
		if err != nil {
			return nil, err
		}
		plugins = append(plugins, p)
	}
	plugins = append(plugins, o.observer())

	synchronize := func(ctx context.Context, with adaptation.SyncCB) error {
		_, err := with(ctx, nil, nil)
		return err
	}
	update := func(context.Context, []*api.ContainerUpdate) ([]*api.ContainerUpdate, error) { return nil, nil }
	a, err := adaptation.New("oracle", "v1", synchronize, update,
		adaptation.WithPluginPath("/nonexistent"),
		adaptation.WithDisabledExternalConnections(),
		adaptation.WithBuiltinPlugins(plugins...),
	)
	if err != nil {
		return nil, err
	}
	if err := a.Start(); err != nil {
		return nil, err
	}
	o.adaptations[key.String()] = a
	return a, nil
}

func (o *merger) builtin(plugin string, validator bool) (*builtin.BuiltinPlugin, error) {
	index, base, err := api.ParsePluginName(plugin)
	if err != nil {
		return nil, err
	}
	see := func(request proto.Message) (*oracleAnswer, error) {
		o.seen[plugin] = message(request)
		a := o.current[plugin]
		if a.Error != "" {
			return a, errors.New(a.Error)
		}
		return a, nil
	}
	handlers := builtin.BuiltinHandlers{
		CreateContainer: func(_ context.Context, request *api.CreateContainerRequest) (*api.CreateContainerResponse, error) {
			a, err := see(request)
			return &api.CreateContainerResponse{Adjust: a.adjust, Update: a.update, Evict: a.evict}, err
		},
		UpdateContainer: func(_ context.Context, request *api.UpdateContainerRequest) (*api.UpdateContainerResponse, error) {
			a, err := see(request)
			return &api.UpdateContainerResponse{Update: a.update, Evict: a.evict}, err
		},
		StopContainer: func(_ context.Context, request *api.StopContainerRequest) (*api.StopContainerResponse, error) {
			a, err := see(request)
			return &api.StopContainerResponse{Update: a.update}, err
		},
	}
	if validator {
		handlers.ValidateContainerAdjustment = func(context.Context, *api.ValidateContainerAdjustmentRequest) error {
			if reason := *o.current[plugin].Reject; reason != "" {
				return errors.New(reason)
			}
			return nil
		}
	}
	return &builtin.BuiltinPlugin{Index: index, Base: base, Handlers: handlers}, nil
}

func (o *merger) observer() *builtin.BuiltinPlugin {
	index, base, _ := strings.Cut(observer, "-")
	return &builtin.BuiltinPlugin{Index: index, Base: base, Handlers: builtin.BuiltinHandlers{
		ValidateContainerAdjustment: func(_ context.Context, request *api.ValidateContainerAdjustmentRequest) error {
			o.observed = request
			return nil
		},
	}}
}
