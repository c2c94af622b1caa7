package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// fields is one line of output: plain values, and messages as proto3 JSON.
type fields map[string]any

// lines writes JSON lines, each at once and whole. Lines written before a
// destination is known are kept.
type lines struct {
	mu   sync.Mutex
	to   io.Writer
	kept [][]byte
}

var out = &lines{to: os.Stdout}

func (l *lines) print(f fields) {
	line, err := json.Marshal(f)
	if err != nil {
		line, _ = json.Marshal(fields{"error": fmt.Sprintf("cannot write line: %v", err)})
	}
	line = append(line, '\n')

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		l.kept = append(l.kept, line)
		return
	}
	_, _ = l.to.Write(line)
}

// redirect sends what was kept, and everything from now on, to w.
func (l *lines) redirect(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = w
	if w == nil {
		return
	}
	for _, line := range l.kept {
		_, _ = w.Write(line)
	}
	l.kept = nil
}

// message writes m as proto3 JSON. A nil message is null.
func message(m proto.Message) json.RawMessage {
	if m == nil || !m.ProtoReflect().IsValid() {
		return json.RawMessage("null")
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		text, _ = json.Marshal("cannot write message: " + err.Error())
	}
	return text
}

// messages writes a list of messages as proto3 JSON.
func messages[M proto.Message](list []M) []json.RawMessage {
	texts := make([]json.RawMessage, 0, len(list))
	for _, m := range list {
		texts = append(texts, message(m))
	}
	return texts
}

// read fills m from proto3 JSON. Absent and null leave it empty.
func read(text json.RawMessage, m proto.Message) error {
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		return fmt.Errorf("cannot read %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}

// readList reads a list of messages from proto3 JSON.
func readList[T any, M interface {
	*T
	proto.Message
}](texts []json.RawMessage) ([]M, error) {
	var list []M
	for _, text := range texts {
		m := M(new(T))
		if err := read(text, m); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// eachLine calls f for every non-empty line of r, of any length.
func eachLine(r io.Reader, f func(line []byte) error) error {
	reader := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 1 {
			if err := f(line); err != nil {
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
