// A small CRI client for the engine tests: JSON lines on stdin, one line of
// JSON for each on stdout. README.md lists the commands.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type client struct {
	cri.RuntimeServiceClient
	cri.ImageServiceClient
	// pods are the sandboxes' configurations by id: CreateContainer wants them again.
	pods map[string]*cri.PodSandboxConfig
}

func main() {
	socket := flag.String("socket", "/run/containerd/containerd.sock", "socket of the engine")
	timeout := flag.Duration("timeout", time.Minute, "for each command")
	flag.Parse()
	if err := run(*socket, *timeout); err != nil {
		fmt.Fprintf(os.Stderr, "go-cri: %v\n", err)
		os.Exit(1)
	}
}

func run(socket string, timeout time.Duration) error {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	c := &client{
		RuntimeServiceClient: cri.NewRuntimeServiceClient(conn),
		ImageServiceClient:   cri.NewImageServiceClient(conn),
		pods:                 map[string]*cri.PodSandboxConfig{},
	}
	input, output := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, err := input.ReadBytes('\n')
		if len(line) > 1 {
			if err := output.Encode(c.answer(line, timeout)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// answer does one command. A failure of the engine is an answer too.
func (c *client) answer(line []byte, timeout time.Duration) map[string]any {
	var cmd command
	if err := json.Unmarshal(line, &cmd); err != nil {
		return map[string]any{"error": "bad command: " + err.Error()}
	}
	answer := map[string]any{"do": cmd.Do}
	do, known := commands[cmd.Do]
	if !known {
		answer["error"] = "unknown command"
		return answer
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	start := time.Now()
	result, err := do(ctx, c, &cmd)
	answer["elapsed_ms"] = time.Since(start).Milliseconds()
	if err != nil {
		answer["error"] = err.Error()
		return answer
	}
	for key, value := range result {
		answer[key] = value
	}
	return answer
}

// read fills m from proto3 JSON. Absent leaves it empty.
func read(text json.RawMessage, m proto.Message) error {
	if len(text) == 0 {
		return nil
	}
	return protojson.Unmarshal(text, m)
}

// message writes m as proto3 JSON.
func message(m proto.Message) json.RawMessage {
	text, err := protojson.Marshal(m)
	if err != nil {
		text, _ = json.Marshal(err.Error())
	}
	return text
}
