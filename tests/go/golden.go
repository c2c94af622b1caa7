package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/containerd/nri/pkg/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// goldenCase is one line of messages.jsonl: a message, encoded and as JSON.
type goldenCase struct {
	Message string          `json:"message"`
	Case    string          `json:"case"`
	Hex     string          `json:"hex"`
	JSON    json.RawMessage `json:"json"`
}

// golden writes the golden files, or checks what the other side encoded.
func golden(args []string) error {
	if len(args) == 1 && args[0] == "check" {
		return checkGolden(os.Stdin)
	}
	if len(args) != 1 {
		return errors.New("usage: golden DIR | golden check")
	}
	if err := os.MkdirAll(filepath.Join(args[0], "sessions"), 0o755); err != nil {
		return err
	}
	if err := writeMessages(filepath.Join(args[0], "messages.jsonl")); err != nil {
		return err
	}
	return writeSessions(filepath.Join(args[0], "sessions"))
}

func writeMessages(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	types := api.File_pkg_api_api_proto.Messages()
	for i := range types.Len() {
		for _, v := range variants {
			m := dynamicpb.NewMessage(types.Get(i))
			if !v.fill(m) {
				continue
			}
			bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				return err
			}
			line, err := json.Marshal(goldenCase{
				Message: string(types.Get(i).Name()),
				Case:    v.name,
				Hex:     hex.EncodeToString(bytes),
				JSON:    message(m),
			})
			if err != nil {
				return err
			}
			if _, err := file.Write(append(line, '\n')); err != nil {
				return err
			}
		}
	}
	return file.Close()
}

// checkGolden reads lines like those of messages.jsonl and prints one line for
// each whose bytes do not mean its JSON, then a summary.
func checkGolden(from io.Reader) error {
	checked, wrong := 0, 0
	err := eachLine(from, func(line []byte) error {
		var c goldenCase
		if err := json.Unmarshal(line, &c); err != nil {
			return err
		}
		checked++
		if err := c.check(); err != nil {
			wrong++
			out.print(fields{"message": c.Message, "case": c.Case, "error": err.Error()})
		}
		return nil
	})
	if err != nil {
		return err
	}
	out.print(fields{"checked": checked, "wrong": wrong})
	if wrong > 0 {
		return fmt.Errorf("%d of %d cases are wrong", wrong, checked)
	}
	return nil
}

func (c *goldenCase) check() error {
	descriptor := api.File_pkg_api_api_proto.Messages().ByName(protoreflect.Name(c.Message))
	if descriptor == nil {
		return errors.New("no such message")
	}
	bytes, err := hex.DecodeString(c.Hex)
	if err != nil {
		return err
	}
	decoded, wanted := dynamicpb.NewMessage(descriptor), dynamicpb.NewMessage(descriptor)
	if err := proto.Unmarshal(bytes, decoded); err != nil {
		return err
	}
	if len(decoded.GetUnknown()) > 0 {
		return errors.New("has unknown fields")
	}
	if err := read(c.JSON, wanted); err != nil {
		return err
	}
	if !proto.Equal(decoded, wanted) {
		return fmt.Errorf("means %s", message(decoded))
	}
	return nil
}
