package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/containerd/nri/pkg/api"
	nrinet "github.com/containerd/nri/pkg/net"
	"github.com/containerd/nri/pkg/stub"
	"github.com/containerd/ttrpc"
)

type pluginFlags struct {
	socket, name, index, script, style string

	failRequest, keepConnected, stay bool

	raw rawFlags

	// For sessions within one process: where commands come from, and what the
	// connection is wrapped in.
	stdin io.Reader
	wrap  func(net.Conn) net.Conn
}

// plugin runs a scripted plugin until it is told to stop or its connection ends.
func plugin(args []string) error {
	f := pluginFlags{stdin: os.Stdin, wrap: func(c net.Conn) net.Conn { return c }}
	set := flag.NewFlagSet("plugin", flag.ContinueOnError)
	set.StringVar(&f.socket, "socket", "", "socket of the host; not needed when launched by one")
	set.StringVar(&f.name, "name", "", "name to register with")
	set.StringVar(&f.index, "index", "", "index to register with")
	set.StringVar(&f.script, "script", "", "script file; else the configuration that the host sends")
	set.StringVar(&f.style, "style", "stub", "stub; old: without the nine dedicated calls; raw: whole responses")
	set.BoolVar(&f.failRequest, "fail-request", false, "failure policy of the stub")
	set.BoolVar(&f.keepConnected, "keep-connected", false, "failure policy of the stub")
	set.BoolVar(&f.stay, "stay", false, "go on when stdin ends")
	set.IntVar(&f.raw.registerAfter, "register-after", 0, "old and raw: milliseconds before registration")
	set.IntVar(&f.raw.registrations, "registrations", 1, "old and raw: how often to register, 0 for never")
	if err := set.Parse(args); err != nil {
		return err
	}

	launched := os.Getenv(api.PluginSocketEnvVar) != ""
	f.stay = f.stay || launched
	if launched && f.script == "" {
		// The host connects stdout to nothing, so keep lines until the script names a file.
		out.redirect(nil)
	}

	p := &player{}
	if f.script != "" {
		text, err := os.ReadFile(f.script)
		if err != nil {
			return err
		}
		if err := p.load(text); err != nil {
			return err
		}
	}
	if f.style == "stub" {
		return runStub(f, p)
	}
	return runRaw(f, p)
}

func runStub(f pluginFlags, p *player) error {
	closed := make(chan struct{}, 1)
	options := []stub.Option{
		stub.WithOnClose(func() {
			select {
			case closed <- struct{}{}:
			default:
			}
		}),
		stub.WithTTRPCOptions(nil, []ttrpc.ServerOpt{ttrpc.WithUnaryServerInterceptor(noteCall)}),
	}
	if f.name != "" {
		options = append(options, stub.WithPluginName(f.name))
	}
	if f.index != "" {
		options = append(options, stub.WithPluginIdx(f.index))
	}
	if f.socket != "" {
		options = append(options, stub.WithSocketPath(f.socket), stub.WithDialer(func(path string) (net.Conn, error) {
			conn, err := net.Dial("unix", path)
			if err != nil {
				return nil, err
			}
			return f.wrap(conn), nil
		}))
	}
	if f.failRequest || f.keepConnected {
		options = append(options, stub.WithFailurePolicy(&api.FailurePolicy{
			FailRequest:   f.failRequest,
			KeepConnected: f.keepConnected,
		}))
	}

	s, err := stub.New(&scripted{player: p, fromHost: f.script == ""}, options...)
	if err != nil {
		return err
	}
	p.close = func() { go s.Stop() }
	if err := s.Start(context.Background()); err != nil {
		out.print(fields{"event": "failed", "error": err.Error()})
		return err
	}
	out.print(fields{
		"event":                   "started",
		"nri_version":             s.RuntimeNRIVersion(),
		"registration_timeout_ms": s.RegistrationTimeout().Milliseconds(),
		"request_timeout_ms":      s.RequestTimeout().Milliseconds(),
	})
	commands := pluginCommands{stdin: f.stdin, update: s.UpdateContainers, stop: s.Stop}
	go commands.run(f.stay)
	<-closed
	out.print(fields{"event": "closed"})
	return nil
}

// pluginCommands are what a plugin can be told on stdin.
type pluginCommands struct {
	stdin  io.Reader
	update func([]*api.ContainerUpdate) ([]*api.ContainerUpdate, error)
	stop   func()
}

func (c pluginCommands) run(stay bool) {
	err := eachLine(c.stdin, func(line []byte) error {
		var command struct {
			Do     string            `json:"do"`
			Update []json.RawMessage `json:"update"`
			Code   int               `json:"code"`
		}
		if err := json.Unmarshal(line, &command); err != nil {
			return err
		}
		switch command.Do {
		case "update":
			updates, err := readList[api.ContainerUpdate](command.Update)
			if err != nil {
				return err
			}
			go func() {
				failed, err := c.update(updates)
				out.print(result("updated", err, fields{"failed": messages(failed)}))
			}()
		case "stop":
			c.stop()
		case "exit":
			os.Exit(command.Code)
		default:
			return fmt.Errorf("unknown command %q", command.Do)
		}
		return nil
	})
	if err != nil {
		out.print(fields{"event": "bad command", "error": err.Error()})
		os.Exit(2)
	}
	if !stay {
		c.stop()
	}
}

// result is a line about something that was done: an error, or what came of it.
func result(event string, err error, f fields) fields {
	line := fields{"event": event}
	if err != nil {
		line["error"] = err.Error()
		return line
	}
	for key, value := range f {
		line[key] = value
	}
	return line
}

// connect gives the connection to the host: the inherited one, or a new one.
func connect(socket string) (net.Conn, error) {
	if text := os.Getenv(api.PluginSocketEnvVar); text != "" {
		var fd int
		if _, err := fmt.Sscan(text, &fd); err != nil {
			return nil, fmt.Errorf("bad %s: %w", api.PluginSocketEnvVar, err)
		}
		return nrinet.NewFdConn(fd)
	}
	return net.DialTimeout("unix", socket, 5*time.Second)
}

type callKey struct{}

// noteCall lets handlers see by which method they were reached.
func noteCall(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	return method(context.WithValue(ctx, callKey{}, info.FullMethod), unmarshal)
}

// received prints a call: what it says, the method it came by, the time of it
// and the time left.
func received(ctx context.Context, event string, f fields) {
	f["event"] = event
	f["at"] = time.Now().UnixNano()
	if method, ok := ctx.Value(callKey{}).(string); ok {
		f["method"] = method
	}
	if deadline, ok := ctx.Deadline(); ok {
		f["timeout_ms"] = time.Until(deadline).Milliseconds()
	}
	out.print(f)
}
