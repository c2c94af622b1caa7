package main

import (
	"encoding/json"

	"github.com/containerd/nri/pkg/api"
	nrigen "github.com/containerd/nri/pkg/runtime-tools/generate"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	ocigen "github.com/opencontainers/runtime-tools/generate"
)

// generateCase is one line of input. The tables are what the runtime would
// know about its classes; without a table there is no resolver.
type generateCase struct {
	Spec    *specs.Spec                     `json:"spec"`
	Adjust  json.RawMessage                 `json:"adjust"`
	BlockIO map[string]*specs.LinuxBlockIO  `json:"blockio"`
	Rdt     map[string]*specs.LinuxIntelRdt `json:"rdt"`
}

// generated applies an adjustment to a spec as containerd does: the
// reference's generator over that of runtime-tools.
func generated(line []byte) fields {
	var c generateCase
	if err := json.Unmarshal(line, &c); err != nil {
		return fields{"invalid": err.Error()}
	}
	adjust := &api.ContainerAdjustment{}
	if err := read(c.Adjust, adjust); err != nil {
		return fields{"invalid": err.Error()}
	}
	editor := ocigen.NewFromSpec(c.Spec)
	if err := nrigen.SpecGenerator(&editor, c.options()...).Adjust(adjust); err != nil {
		return fields{"error": err.Error()}
	}
	return fields{"spec": editor.Config}
}

func (c *generateCase) options() []nrigen.GeneratorOption {
	var options []nrigen.GeneratorOption
	if c.BlockIO != nil {
		options = append(options, nrigen.WithBlockIOResolver(func(class string) (*specs.LinuxBlockIO, error) {
			return lookUp(c.BlockIO, class)
		}))
	}
	if c.Rdt != nil {
		options = append(options, nrigen.WithRdtResolver(func(class string) (*specs.LinuxIntelRdt, error) {
			return lookUp(c.Rdt, class)
		}))
	}
	return options
}

func lookUp[V any](table map[string]*V, class string) (*V, error) {
	if value, known := table[class]; known {
		return value, nil
	}
	return nil, unknownClass(class)
}

type unknownClass string

func (c unknownClass) Error() string { return "unknown class " + string(c) }
