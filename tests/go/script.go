package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// script says what a plugin subscribes to and how it answers. It comes from a
// file (-script) or as the configuration that the host sends.
type script struct {
	// Events by name (RunPodSandbox, …). Absent: all.
	Events []string `json:"events"`
	// Mask overrides Events with any number, also an invalid one.
	Mask *int32 `json:"mask"`
	// Output is a file to append the lines to, for plugins launched by a host.
	Output string `json:"output"`
	// Answers by call name. The first that fits is taken.
	Answers map[string][]*answer `json:"answers"`
}

// answer is how one call is answered. What is absent stays empty.
type answer struct {
	// For limits the answer to a container or pod of this name or id.
	For string `json:"for"`
	// Times limits how often it is taken. 0: always.
	Times int `json:"times"`

	SleepMs int  `json:"sleep_ms"` // before anything else
	Never   bool `json:"never"`    // hold the call until the process ends
	Exit    *int `json:"exit"`     // end the process with this code
	Close   bool `json:"close"`    // close the connection

	Error  string `json:"error"`
	Code   *int   `json:"code"` // status code of the error, else Unknown
	Reject string `json:"reject"`

	Adjust json.RawMessage   `json:"adjust"`
	Update []json.RawMessage `json:"update"`

	// Response is the whole response message; styles old and raw only.
	Response json.RawMessage `json:"response"`
}

// player answers calls as a script says.
type player struct {
	mu     sync.Mutex
	script script
	taken  map[*answer]int
	close  func()
}

func (p *player) load(text []byte) error {
	var s script
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("cannot read script: %w", err)
	}
	if s.Output != "" {
		file, err := os.OpenFile(s.Output, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		out.redirect(file)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script, p.taken = s, map[*answer]int{}
	return nil
}

// play finds the answer to a call, and does all of it but the messages.
func (p *player) play(ctx context.Context, call string, subjects ...string) (*answer, error) {
	a := p.take(call, subjects)
	if a.SleepMs > 0 {
		time.Sleep(time.Duration(a.SleepMs) * time.Millisecond)
	}
	if a.Never {
		select {}
	}
	if a.Exit != nil {
		os.Exit(*a.Exit)
	}
	if a.Close && p.close != nil {
		p.close()
	}
	if a.Error != "" || a.Code != nil {
		if a.Code != nil {
			return a, status.Error(codes.Code(*a.Code), a.Error)
		}
		return a, fmt.Errorf("%s", a.Error)
	}
	return a, nil
}

func (p *player) take(call string, subjects []string) *answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.script.Answers[call] {
		if a.fits(subjects) && (a.Times == 0 || p.taken[a] < a.Times) {
			p.taken[a]++
			return a
		}
	}
	return &answer{}
}

func (a *answer) fits(subjects []string) bool {
	if a.For == "" {
		return true
	}
	for _, s := range subjects {
		if s == a.For {
			return true
		}
	}
	return false
}
