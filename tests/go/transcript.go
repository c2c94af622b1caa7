package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// transcript is all that went over one connection, in the order seen at the
// plugin's end.
type transcript struct {
	About string `json:"about"`
	// Chunks are the raw bytes; consecutive ones of one side are joined.
	Chunks []*chunk `json:"chunks"`
	// Messages is what they mean.
	Messages []entry `json:"messages"`

	mu sync.Mutex
}

type chunk struct {
	From  string `json:"from"` // host or plugin
	Hex   string `json:"hex"`
	bytes []byte
}

// entry is one ttRPC message.
type entry struct {
	From    string          `json:"from"`
	Conn    uint32          `json:"conn"`
	Stream  uint32          `json:"stream"`
	Type    string          `json:"type"` // request or response
	Service string          `json:"service,omitempty"`
	Method  string          `json:"method"`
	Timeout int64           `json:"timeout_nano,omitempty"`
	Code    string          `json:"code,omitempty"`
	Error   string          `json:"error,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

func (t *transcript) add(from string, bytes []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.Chunks); n == 0 || t.Chunks[n-1].From != from {
		t.Chunks = append(t.Chunks, &chunk{From: from})
	}
	last := t.Chunks[len(t.Chunks)-1]
	last.bytes = append(last.bytes, bytes...)
}

// recorded is the plugin's connection.
type recorded struct {
	net.Conn
	to *transcript
}

func (r recorded) Read(buf []byte) (int, error) {
	n, err := r.Conn.Read(buf)
	if n > 0 {
		r.to.add("host", buf[:n])
	}
	return n, err
}

func (r recorded) Write(buf []byte) (int, error) {
	r.to.add("plugin", buf)
	return r.Conn.Write(buf)
}

// lane is one direction of one mux connection.
type lane struct {
	from string
	conn uint32
}

// finish describes the bytes.
func (t *transcript) finish() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	trunks, lanes, methods := map[string][]byte{}, map[lane][]byte{}, map[[2]uint32]string{}
	for _, c := range t.Chunks {
		c.Hex = hex.EncodeToString(c.bytes)
		trunk := append(trunks[c.From], c.bytes...)
		for len(trunk) >= 8 {
			length := int(binary.BigEndian.Uint32(trunk[4:]))
			if len(trunk) < 8+length {
				break
			}
			l := lane{c.From, binary.BigEndian.Uint32(trunk)}
			lanes[l] = append(lanes[l], trunk[8:8+length]...)
			trunk = trunk[8+length:]
			if err := t.take(l, lanes, methods); err != nil {
				return err
			}
		}
		trunks[c.From] = trunk
	}
	return nil
}

// take decodes what is complete in a lane.
func (t *transcript) take(l lane, lanes map[lane][]byte, methods map[[2]uint32]string) error {
	for {
		buf := lanes[l]
		if len(buf) < 10 {
			return nil
		}
		length := int(binary.BigEndian.Uint32(buf))
		if len(buf) < 10+length {
			return nil
		}
		e := entry{From: l.from, Conn: l.conn, Stream: binary.BigEndian.Uint32(buf[4:])}
		if err := e.decode(buf[8], buf[10:10+length], methods); err != nil {
			return err
		}
		t.Messages = append(t.Messages, e)
		lanes[l] = buf[10+length:]
	}
}

func (e *entry) decode(kind byte, body []byte, methods map[[2]uint32]string) error {
	key := [2]uint32{e.Conn, e.Stream}
	var payload []byte
	switch kind {
	case 1:
		var request ttrpc.Request
		if err := proto.Unmarshal(body, &request); err != nil {
			return err
		}
		e.Type, e.Service, e.Method, e.Timeout = "request", request.Service, request.Method, request.TimeoutNano
		methods[key] = request.Method
		payload = request.Payload
	case 2:
		var response ttrpc.Response
		if err := proto.Unmarshal(body, &response); err != nil {
			return err
		}
		e.Type, e.Method, payload = "response", methods[key], response.Payload
		if s := response.Status; s != nil {
			e.Code, e.Error = codes.Code(s.Code).String(), s.Message
		}
	default:
		return fmt.Errorf("unexpected ttRPC message of type %d", kind)
	}
	return e.describe(payload)
}

// describe adds the payload as JSON, unless the message is an error.
func (e *entry) describe(payload []byte) error {
	if e.Error != "" {
		return nil
	}
	c, known := pluginCalls[e.Method]
	if !known {
		c, known = runtimeCalls[e.Method]
	}
	if !known {
		return fmt.Errorf("unknown method %q", e.Method)
	}
	m := c.request()
	if e.Type == "response" {
		m = c.response()
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		return err
	}
	e.Payload = message(m)
	return nil
}

func fileName(name string) string { return strings.ReplaceAll(name, " ", "-") + ".json" }
