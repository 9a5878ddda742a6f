package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc (proc(5), USER_HZ, 100 on Linux).
const tick = 10 * time.Millisecond

// processStat is what /proc/PID/stat says of a process.
type processStat struct {
	parent int
	cpu    time.Duration // its own threads; children are not in it
}

func readStat(pid int) (s processStat, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	// The name, in parentheses, may hold anything; what follows it is numbers.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return s, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	parent, err3 := strconv.Atoi(fields[1])
	if err1 != nil || err2 != nil || err3 != nil {
		return s, fmt.Errorf("/proc/%d/stat is not understood: %s", pid, text)
	}
	return processStat{parent, time.Duration(user+system) * tick}, nil
}

// children are the living children of a process.
func children(pid int) map[int]processStat {
	found := map[int]processStat{}
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if s, err := readStat(child); err == nil && s.parent == pid { // others come and go
			found[child] = s
		}
	}
	return found
}

// childrenCPU is the CPU time of the living children of a process.
func childrenCPU(pid int) (sum time.Duration) {
	for _, s := range children(pid) {
		sum += s.cpu
	}
	return sum
}

// childOf is the daemon's engine: the daemon has no other child.
func childOf(pid int) int {
	for child := range children(pid) {
		return child
	}
	return 0
}

// peakMiB is the most memory that a process has had resident so far.
func peakMiB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
}
