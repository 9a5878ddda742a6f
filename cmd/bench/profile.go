package main

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// profiler is laid over the sources of the daemon for --profile: each SIGUSR1
// starts a CPU profile, or ends it and writes a heap profile beside it. The
// product itself has no such door.
const profiler = `package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"
)

func init() {
	dir := os.Getenv("SITEDRIFT_BENCH_PROFILE")
	if dir == "" || len(os.Args) < 4 || os.Args[3] != "serve" {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			name := filepath.Join(dir, fmt.Sprintf("%d", os.Getpid()))
			cpu, err := os.Create(name + ".cpu.pprof")
			if err == nil {
				err = pprof.StartCPUProfile(cpu)
			}
			<-asked
			pprof.StopCPUProfile()
			cpu.Close()
			if heap, herr := os.Create(name + ".heap.pprof"); herr == nil && err == nil {
				err = pprof.WriteHeapProfile(heap)
				heap.Close()
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "profile:", err)
			}
		}
	}()
}
`

// overlay writes the profiler and what tells the compiler to take it in, and
// returns the flag for go build.
func overlay(sources, into string) (string, error) {
	file, list := filepath.Join(into, "profiler.go"), filepath.Join(into, "overlay.json")
	if err := os.WriteFile(file, []byte(profiler), 0o600); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(sources, "bench_profiler.go"): file}})
	if err != nil {
		return "", err
	}
	return "-overlay=" + list, os.WriteFile(list, text, 0o600)
}
